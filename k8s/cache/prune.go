package cache

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/onejob-dev/onejob/k8s/kube"
)

// Lean returns a client like client, which is NewClient's for the same configuration.
// Of Jobs and Pods it decodes only what the caches keep (see object.go): metadata
// without managed fields, status, and the fields of the spec that leanJob and leanPod
// name. The rest is most of what a watch sends. Of the answers to a Job's create and
// patch it reads only an error, over client's connection; the other requests have a connection
// of their own, which is read at a pace (see coalesce.go). Lists that aren't a watch's
// own, and answers in JSON, are read whole.
func Lean(client kube.Client, cfg *rest.Config) (kube.Client, error) {
	watches := rest.CopyConfig(cfg)
	if watches.Dial == nil {
		watches.Dial = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	watches.Dial = paced(watches.Dial)
	h, err := rest.HTTPClientFor(watches)
	if err != nil {
		return nil, err
	}
	of := func(gv schema.GroupVersion, path string) (*rest.RESTClient, error) {
		c := rest.CopyConfig(cfg)
		c.GroupVersion, c.APIPath = &gv, path
		c.NegotiatedSerializer = leanSerializer{scheme.Codecs.WithoutConversion()}
		return rest.RESTClientForConfigAndClient(c, h)
	}
	batch, err := of(batchv1.SchemeGroupVersion, "/apis")
	if err != nil {
		return nil, err
	}
	core, err := of(corev1.SchemeGroupVersion, "/api")
	if err != nil {
		return nil, err
	}
	return kube.Clientset{Batch: leanBatch{batchclient.New(batch), client.BatchV1().RESTClient()}, Coordination: client.CoordinationV1(), Core: coreclient.New(core)}, nil
}

type leanBatch struct {
	batchclient.BatchV1Interface
	creates rest.Interface
}

func (b leanBatch) Jobs(namespace string) batchclient.JobInterface {
	return leanJobs{b.BatchV1Interface.Jobs(namespace), b.creates, namespace}
}

type leanJobs struct {
	batchclient.JobInterface
	client    rest.Interface
	namespace string
}

// metadataOnly asks for an answer without spec and status, and for errors as
// they are.
const metadataOnly = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/vnd.kubernetes.protobuf,application/json"

// Create returns k as it was given.
func (j leanJobs) Create(ctx context.Context, k *batchv1.Job, o metav1.CreateOptions) (*batchv1.Job, error) {
	err := j.client.Post().Namespace(j.namespace).Resource("jobs").SetHeader("Accept", metadataOnly).
		VersionedParams(&o, scheme.ParameterCodec).Body(k).Do(ctx).Error()
	return k, err
}

// Patch returns nothing but an error.
func (j leanJobs) Patch(ctx context.Context, name string, t types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*batchv1.Job, error) {
	return nil, j.client.Patch(t).Namespace(j.namespace).Resource("jobs").Name(name).SubResource(sub...).SetHeader("Accept", metadataOnly).
		VersionedParams(&o, scheme.ParameterCodec).Body(data).Do(ctx).Error()
}

// mask names the fields of a protobuf message that are read, by their numbers in the
// API's generated.proto; nil stands for a whole field.
type mask map[protowire.Number]mask

var (
	// Of the metadata mainly managedFields (17) is left out. An annotation marks the
	// bookmark that ends a watch's first events.
	leanJob = mask{
		1: {1: nil, 3: nil, 5: nil, 6: nil, 8: nil, 9: nil, 11: nil, 12: nil, 14: nil},
		2: {3: nil, 10: nil, 15: nil}, // spec.activeDeadlineSeconds, spec.suspend, spec.managedBy
		3: nil,
	}
	leanPod = mask{
		1: {1: nil, 3: nil, 5: nil, 6: nil, 8: nil, 9: nil, 10: nil, 11: nil, 12: nil, 13: nil},
		2: {10: nil},                                         // spec.nodeName
		3: {1: nil, 2: nil, 3: nil, 4: nil, 8: nil, 10: nil}, // phase, conditions, message, reason, containers, init containers
	}
)

type leanSerializer struct{ runtime.NegotiatedSerializer }

func (s leanSerializer) DecoderToVersion(d runtime.Decoder, gv runtime.GroupVersioner) runtime.Decoder {
	return leanDecoder{s.NegotiatedSerializer.DecoderToVersion(d, gv)}
}

type leanDecoder struct{ runtime.Decoder }

// protobufMagic begins each of the API server's answers in protobuf.
var protobufMagic = []byte("k8s\x00")

func (d leanDecoder) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if body, ok := bytes.CutPrefix(data, protobufMagic); ok {
		gvk, raw, err := unwrap(body)
		if err != nil {
			return nil, nil, err
		}
		switch gvk {
		case batchv1.SchemeGroupVersion.WithKind("Job"):
			k, _ := into.(*batchv1.Job)
			if k == nil {
				k = &batchv1.Job{}
			}
			return k, &gvk, decodeLean(k, raw, leanJob)
		case corev1.SchemeGroupVersion.WithKind("Pod"):
			p, _ := into.(*corev1.Pod)
			if p == nil {
				p = &corev1.Pod{}
			}
			return p, &gvk, decodeLean(p, raw, leanPod)
		}
	}
	return d.Decoder.Decode(data, defaults, into)
}

// pruned are buffers for what prune leaves.
var pruned = sync.Pool{New: func() any { return new([]byte) }}

func decodeLean(o interface {
	Reset()
	Unmarshal([]byte) error
}, raw []byte, of mask,
) error {
	buffer := pruned.Get().(*[]byte)
	defer pruned.Put(buffer)
	b, err := prune((*buffer)[:0], raw, of)
	*buffer = b
	if err != nil {
		return err
	}
	o.Reset()
	return o.Unmarshal(b) // copies what it keeps
}

// unwrap takes apart a runtime.Unknown, the message in which the API server wraps every
// object; raw shares b's memory.
func unwrap(b []byte) (gvk schema.GroupVersionKind, raw []byte, err error) {
	var apiVersion, kind string
	err = eachField(b, func(num protowire.Number, _, value []byte) error {
		switch num {
		case 1: // typeMeta
			return eachField(value, func(num protowire.Number, _, value []byte) error {
				switch num {
				case 1:
					apiVersion = string(value)
				case 2:
					kind = string(value)
				}
				return nil
			})
		case 2:
			raw = value
		}
		return nil
	})
	return schema.FromAPIVersionAndKind(apiVersion, kind), raw, err
}

// prune appends to out the fields of b that the mask names.
func prune(out, b []byte, of mask) ([]byte, error) {
	err := eachField(b, func(num protowire.Number, whole, value []byte) (err error) {
		within, kept := of[num]
		switch {
		case !kept:
		case within == nil:
			out = append(out, whole...)
		default:
			// The length has a fixed width, which every reader accepts, because the
			// size of the inner message isn't known yet.
			out = protowire.AppendTag(out, num, protowire.BytesType)
			at := len(out)
			out = append(out, 0x80, 0x80, 0x80, 0x80, 0)
			if out, err = prune(out, value, within); err != nil {
				return err
			}
			n := len(out) - at - 5
			for i := range 4 {
				out[at+i] |= byte(n>>(7*i)) & 0x7f
			}
			out[at+4] = byte(n >> 28)
		}
		return err
	})
	return out, err
}

// eachField calls f for each field of a message, with all of its bytes and, if it is
// length-delimited, its value.
func eachField(b []byte, f func(num protowire.Number, whole, value []byte) error) error {
	for len(b) > 0 {
		num, typ, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return fmt.Errorf("reading protobuf: %w", protowire.ParseError(tag))
		}
		n := protowire.ConsumeFieldValue(num, typ, b[tag:])
		if n < 0 {
			return fmt.Errorf("reading protobuf: %w", protowire.ParseError(n))
		}
		var value []byte
		if typ == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(b[tag:])
		}
		if err := f(num, b[:tag+n], value); err != nil {
			return err
		}
		b = b[tag+n:]
	}
	return nil
}
