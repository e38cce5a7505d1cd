package cache

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/randfill"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// What the caches keep of an object doesn't depend on how it was read, whatever
// is in it: a fact that the masks leave out is seen as missing here.
func TestLeanSeesTheSame(t *testing.T) {
	for seed := range int64(200) {
		fill := filler(seed)
		k, p := &batchv1.Job{}, &corev1.Pod{}
		fill.Fill(k)
		fill.Fill(p)
		for _, m := range []*metav1.ObjectMeta{&k.ObjectMeta, &p.ObjectMeta} {
			m.Labels[contract.LabelJobID] = string(contract.SampleJobID)
			m.Labels[contract.LabelAttempt] = "2"
			m.Labels[contract.LabelQueue] = "deploys"
			m.Annotations[contract.AnnotationStory] = decide.History{{Reason: decide.ReasonLost, Attempt: 1, Text: "the pod of attempt 1 was lost"}}.Annotation()
			m.Annotations[contract.AnnotationBuild] = "42"
			m.Annotations[contract.AnnotationScheduled] = "2026-01-02T03:04:05.678Z"
			m.Annotations[contract.AnnotationMadeAt] = "2026-01-02T03:04:06.789Z"
			m.Annotations[metav1.InitialEventsAnnotationKey] = "true"
			m.OwnerReferences[0].Kind = "Job"
		}
		for i, c := range p.Status.ContainerStatuses {
			c.Name = contract.AgentContainer
			if end := c.State.Terminated; end != nil {
				end.Message = string(contract.Message{Contract: contract.Version, Outcome: contract.OutcomeFinished, Reason: "done"}.Encode())
			}
			p.Status.ContainerStatuses[i] = c
		}
		for _, of := range []struct {
			whole, lean runtime.Object
			see         func(any) (any, error)
		}{{whole: k, lean: &batchv1.Job{}, see: jobOf}, {whole: p, lean: &corev1.Pod{}, see: podOf}} {
			raw := encoded(t, of.whole)
			whole, gvk := decoded(t, scheme.Codecs.WithoutConversion(), raw, nil)
			want, err := of.see(whole)
			if err != nil {
				t.Fatal(err)
			}
			for what, into := range map[string]runtime.Object{"watched": nil, "asked for": of.lean} {
				lean, leanGVK := decoded(t, leanSerializer{scheme.Codecs.WithoutConversion()}, raw, into)
				if lean.(metav1.Object).GetAnnotations()[metav1.InitialEventsAnnotationKey] == "" {
					t.Fatalf("%s: informers would wait for the bookmark that ends the first events", gvk)
				}
				got, err := of.see(lean)
				if err != nil || leanGVK != gvk || !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d, %s: %s, %v\n%+v\nread whole, %s:\n%+v", seed, what, leanGVK, err, got, gvk, want)
				}
				if into != nil && lean != into {
					t.Errorf("%s: another object than the caller's", gvk)
				}
			}
			if size, all := sizeOf(of.lean), len(raw); size*2 > all {
				t.Errorf("%s: of %d bytes %d are read", gvk, all, size)
			}
		}
	}
}

func filler(seed int64) *randfill.Filler {
	return randfill.NewWithSeed(seed).NilChance(0.1).NumElements(1, 3).Funcs(
		func(q *resource.Quantity, _ randfill.Continue) { *q = resource.MustParse("3Mi") },
		func(x *runtime.RawExtension, _ randfill.Continue) { *x = runtime.RawExtension{} },
		func(t *metav1.Time, c randfill.Continue) { *t = metav1.Unix(c.Int63()%4e9, 0) },
		func(m *metav1.TypeMeta, _ randfill.Continue) { *m = metav1.TypeMeta{} },
		func(m *metav1.ObjectMeta, c randfill.Continue) {
			c.FillNoCustom(m)
			if m.Labels == nil {
				m.Labels = map[string]string{}
			}
			if m.Annotations == nil {
				m.Annotations = map[string]string{}
			}
			m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{Name: "onejob-x", UID: "u"})
		},
	)
}

func encoded(t testing.TB, o runtime.Object) []byte {
	t.Helper()
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	kinds, _, err := scheme.Scheme.ObjectKinds(o)
	if err != nil {
		t.Fatal(err)
	}
	o.GetObjectKind().SetGroupVersionKind(kinds[0])
	b, err := runtime.Encode(info.Serializer, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decoded(t *testing.T, s runtime.NegotiatedSerializer, b []byte, into runtime.Object) (runtime.Object, schema.GroupVersionKind) {
	t.Helper()
	info, _ := runtime.SerializerInfoForMediaType(s.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	o, gvk, err := s.DecoderToVersion(info.Serializer, nil).Decode(b, nil, into)
	if err != nil {
		t.Fatal(err)
	}
	return o, *gvk
}

func sizeOf(o runtime.Object) int { return o.(interface{ Size() int }).Size() }

// Through the client: kjobs and pods are read leanly, errors and everything else
// as ever, and bytes that are no protobuf are an error.
func TestLeanClient(t *testing.T) {
	k := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "x", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{NodeName: "n"}}}}
	answers := map[string][]byte{
		"/apis/batch/v1/namespaces/ns/jobs/x":            encoded(t, k),
		"/api/v1/namespaces/ns/configmaps/x":             encoded(t, &corev1.ConfigMap{Data: map[string]string{"a": "b"}}),
		"/apis/batch/v1/namespaces/ns/jobs/torn":         encoded(t, k)[:40],
		"/apis/batch/v1/namespaces/ns/jobs/no-such-name": encoded(t, &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: 404, Message: "gone for good"}),

		"201": []byte("k8s\x00whatever this is, nobody reads it"),
		"409": encoded(t, &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonAlreadyExists, Code: 409, Message: "it is there"}),
	}
	created := http.StatusCreated
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		switch {
		case r.Method == http.MethodPost:
			body, _ := io.ReadAll(r.Body)
			sent, _ := decoded(t, scheme.Codecs.WithoutConversion(), body, nil)
			if !strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata") || sent.(*batchv1.Job).Spec.Template.Spec.NodeName != "n" || r.URL.RawQuery != "fieldManager=me" {
				t.Errorf("a create: %q, %+v, %q", r.Header.Get("Accept"), sent, r.URL.RawQuery)
			}
			w.WriteHeader(created)
			_, _ = w.Write(answers[strconv.Itoa(created)])
			return
		case r.URL.Path == "/apis/batch/v1/namespaces/ns/jobs/no-such-name":
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write(answers[r.URL.Path])
	}))
	defer srv.Close()
	cfg := &rest.Config{Host: srv.URL, ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeProtobuf}}
	kube, err := kube.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Lean(kube, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	jobs := c.BatchV1().Jobs("ns")
	if k, err := jobs.Get(ctx, "x", metav1.GetOptions{}); err != nil || k.Name != "x" || k.ManagedFields != nil || k.Spec.Template.Spec.NodeName != "" {
		t.Errorf("a kjob: %+v, %v", k, err)
	}
	if m, err := c.CoreV1().ConfigMaps("ns").Get(ctx, "x", metav1.GetOptions{}); err != nil || m.Data["a"] != "b" {
		t.Errorf("another kind: %+v, %v", m, err)
	}
	if _, err := jobs.Get(ctx, "torn", metav1.GetOptions{}); err == nil {
		t.Error("no error for half an answer")
	}
	if _, err := jobs.Get(ctx, "no-such-name", metav1.GetOptions{}); err == nil || err.Error() != "gone for good" {
		t.Errorf("a refusal: %v", err)
	}
	k.TypeMeta, k.Name = metav1.TypeMeta{}, "y"
	if got, err := jobs.Create(ctx, k, metav1.CreateOptions{FieldManager: "me"}); err != nil || got != k {
		t.Errorf("a create: %+v, %v", got, err)
	}
	created = http.StatusConflict
	if _, err := jobs.Create(ctx, k, metav1.CreateOptions{FieldManager: "me"}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("a create of what is there: %v", err)
	}
}

// Whatever the bytes are, reading them leanly ends, and if they can be read they
// are seen as the same.
func FuzzLean(f *testing.F) {
	meta := metav1.ObjectMeta{Name: "x", UID: "u", Labels: map[string]string{contract.LabelAttempt: "2"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}}
	f.Add(encoded(f, &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Suspend: ptr.To(true)}, Status: batchv1.JobStatus{Active: 1}}))
	f.Add(encoded(f, &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{NodeName: "n", Hostname: "h"}, Status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted"}}))
	f.Add(encoded(f, &metav1.Status{Message: "no"}))
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	whole, lean := scheme.Codecs.WithoutConversion(), leanSerializer{scheme.Codecs.WithoutConversion()}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, gotErr := lean.DecoderToVersion(info.Serializer, nil).Decode(b, nil, nil)
		want, _, err := whole.DecoderToVersion(info.Serializer, nil).Decode(b, nil, nil)
		if err != nil || gotErr != nil {
			return
		}
		see := jobOf
		switch want.(type) {
		case *batchv1.Job:
		case *corev1.Pod:
			see = podOf
		default:
			return // it was read by the same decoder
		}
		seen, _ := see(got)
		if want, _ := see(want); !reflect.DeepEqual(seen, want) {
			t.Errorf("%+v\nread whole:\n%+v", seen, want)
		}
	})
}
