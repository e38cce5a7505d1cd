package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/onejob-dev/onejob/jitter"
)

// stopTimeout is far longer than a scheduler's drain and its pod's grace.
const stopTimeout = 2 * time.Minute

// stopScheduler is stopDeployment in the namespace that the flags name.
func stopScheduler(c *cli.Context, name string) error {
	cfg, err := restConfig(c)
	if err != nil {
		return err
	}
	apps, err := appsclient.NewForConfig(cfg)
	if err != nil {
		return err
	}
	core, err := coreclient.NewForConfig(cfg)
	if err != nil {
		return err
	}
	namespace := namespaceOf(c)
	return stopDeployment(c.Context, apps.Deployments(namespace), core.Pods(namespace), name)
}

// stopDeployment scales a Deployment to 0 and returns when its pods are gone. A missing
// Deployment counts as stopped.
func stopDeployment(ctx context.Context, deployments appsclient.DeploymentInterface, pods coreclient.PodInterface, name string) error {
	scale, err := deployments.GetScale(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("stopping Deployment %s: %w", name, err)
	}
	if scale.Spec.Replicas != 0 {
		scale.Spec.Replicas = 0
		if _, err := deployments.UpdateScale(ctx, name, scale, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("stopping Deployment %s: %w", name, err)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stopTimeout, fmt.Errorf("its pods were still there after %s", stopTimeout))
	defer cancel()
	for {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: scale.Status.Selector})
		switch {
		case err == nil && len(list.Items) == 0:
			return nil
		case err == nil && jitter.Sleep(ctx, time.Second):
			continue
		}
		return fmt.Errorf("waiting for the pods of Deployment %s to end: %w", name, errors.Join(err, context.Cause(ctx)))
	}
}
