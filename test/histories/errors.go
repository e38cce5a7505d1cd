package main

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// namespace is the schedulers'.
const namespace = "builds"

// What comes of requests in trouble.
var (
	errTorn  = errors.New("connection reset by peer")
	errQuota = errors.New("exceeded quota: jobs, requested: count/jobs.batch=1, used: count/jobs.batch=10, limited: count/jobs.batch=10")
)

func unavailable() error { return apierrors.NewServiceUnavailable("down") }

func conflict(name string) error {
	return apierrors.NewConflict(schema.GroupResource{Group: "batch", Resource: "jobs"}, name, errors.New("the object has been modified"))
}
