package kjob

import (
	"errors"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
)

// admissibleStep is what the API server would refuse of the kjob that a step describes:
// said here it has the field as the step's author knows it, and no request is made for it.
func admissibleStep(k *batchv1.Job) error {
	if !OfPlugin(k) {
		return nil
	}
	f := &faults{}
	f.labelValues("metadata", k.Labels)
	err := errors.Join(append(f.errs, checkAdmissible(k))...)
	if err == nil {
		return nil
	}
	return fmt.Errorf("the API server would refuse the step's pod:\n%s", strings.ReplaceAll(err.Error(), "spec.template.spec.", ""))
}
