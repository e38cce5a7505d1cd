package kube

import (
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// Client is the part of Kubernetes' API that onejob needs. Every kubernetes.Interface
// is one; but a whole clientset has fifty more groups, and each costs memory before it
// is used.
type Client interface {
	BatchV1() batchclient.BatchV1Interface
	CoordinationV1() coordinationclient.CoordinationV1Interface
	CoreV1() coreclient.CoreV1Interface
}

// Clientset is a Client of three groups.
type Clientset struct {
	Batch        batchclient.BatchV1Interface
	Coordination coordinationclient.CoordinationV1Interface
	Core         coreclient.CoreV1Interface
}

func (c Clientset) BatchV1() batchclient.BatchV1Interface                      { return c.Batch }
func (c Clientset) CoordinationV1() coordinationclient.CoordinationV1Interface { return c.Coordination }
func (c Clientset) CoreV1() coreclient.CoreV1Interface                         { return c.Core }

// NewClient returns a Client for the cluster of a configuration.
func NewClient(cfg *rest.Config) (Client, error) {
	h, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	batch, err := batchclient.NewForConfigAndClient(cfg, h)
	if err != nil {
		return nil, err
	}
	coordination, err := coordinationclient.NewForConfigAndClient(cfg, h)
	if err != nil {
		return nil, err
	}
	core, err := coreclient.NewForConfigAndClient(cfg, h)
	if err != nil {
		return nil, err
	}
	return Clientset{batch, coordination, core}, nil
}
