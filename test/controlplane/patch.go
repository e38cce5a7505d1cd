package controlplane

import (
	"context"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// patch merges the status of an object into that of the API server's: unlike
// an update it can't conflict with what controllers write beside it.
func patch[T, O any](
	ctx context.Context, do func(context.Context, string, types.PatchType, []byte, metav1.PatchOptions, ...string) (T, error), name string, object O,
) (none T, err error) {
	var whole map[string]json.RawMessage
	raw, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(raw, &whole)
	}
	if err == nil {
		raw, err = json.Marshal(map[string]json.RawMessage{"status": whole["status"]})
	}
	if err != nil {
		return none, err
	}
	return do(ctx, name, types.StrategicMergePatchType, raw, metav1.PatchOptions{}, "status")
}
