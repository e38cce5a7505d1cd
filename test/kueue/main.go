// Command kueue is Kueue without what the tests don't need: its queues, its
// scheduler and its controller of Jobs, put together as Kueue's own integration tests
// do. Its own program also has webhooks and metrics, which want certificates, and
// compiles twice as much: Ray, Kubeflow, MultiKueue.
//
//	kueue --kubeconfig FILE
//
// It ends when its standard input does.
//
// Without Kueue's webhook nobody suspends a Job that has the label of a queue: its
// template has to say so, as docs/configuration.md has it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	config "sigs.k8s.io/kueue/apis/config/v1beta2"
	kueue "sigs.k8s.io/kueue/apis/kueue/v1beta2"
	qcache "sigs.k8s.io/kueue/pkg/cache/queue"
	schdcache "sigs.k8s.io/kueue/pkg/cache/scheduler"
	"sigs.k8s.io/kueue/pkg/constants"
	"sigs.k8s.io/kueue/pkg/controller/core"
	"sigs.k8s.io/kueue/pkg/controller/core/indexer"
	"sigs.k8s.io/kueue/pkg/controller/jobframework"
	"sigs.k8s.io/kueue/pkg/controller/jobs/job"
	"sigs.k8s.io/kueue/pkg/metrics"
	"sigs.k8s.io/kueue/pkg/scheduler"
	preemptexpectations "sigs.k8s.io/kueue/pkg/scheduler/preemption/expectations"
)

func main() {
	flag.Parse() // --kubeconfig is controller-runtime's
	ctrl.SetLogger(zap.New())
	ctx, cancel := context.WithCancel(ctrl.SetupSignalHandler())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with whoever started us
		cancel()
	}()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kueue:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, kueue.AddToScheme, config.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	cfg := &config.Configuration{}
	scheme.Default(cfg)
	server, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	server.QPS = -1 // on this machine
	mgr, err := ctrl.NewManager(server, ctrl.Options{Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0"})
	if err != nil {
		return err
	}
	if err := setup(ctx, mgr, cfg); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// setup follows managerAndControllersSetup in Kueue's
// test/integration/singlecluster/controller/jobs/job.
func setup(ctx context.Context, mgr ctrl.Manager, cfg *config.Configuration) error {
	expected := preemptexpectations.New()
	inUse := schdcache.New(mgr.GetClient(), schdcache.WithLocalQueueMetrics(metrics.NewLocalQueueMetricsConfig(cfg.Metrics.LocalQueueMetrics)))
	requeuer := qcache.NewRequeuer(qcache.WithBatchPeriod(100 * time.Millisecond))
	waiting := qcache.NewManager(mgr.GetClient(), inUse, requeuer, qcache.WithPreemptionExpectations(expected))
	if err := indexer.Setup(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	if err := job.SetupIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	jobs, err := job.NewReconciler(ctx, mgr.GetClient(), mgr.GetFieldIndexer(), mgr.GetEventRecorderFor(constants.JobControllerName),
		jobframework.WithCache(inUse), jobframework.WithQueues(waiting))
	if err == nil {
		err = jobs.SetupWithManager(mgr)
	}
	if err != nil {
		return fmt.Errorf("setting up the controller of Jobs: %w", err)
	}
	jobframework.EnableIntegration(job.FrameworkName)
	if name, err := core.SetupControllers(mgr, waiting, inUse, cfg, nil, expected, nil); err != nil {
		return fmt.Errorf("setting up the controller %s: %w", name, err)
	}
	go waiting.CleanUpOnContext(ctx)
	go inUse.CleanUpOnContext(ctx)
	if err := mgr.Add(requeuer); err != nil {
		return err
	}
	return mgr.Add(scheduler.New(waiting, inUse, mgr.GetClient(), mgr.GetEventRecorderFor(constants.AdmissionName), scheduler.WithPreemptionExpectations(expected)))
}
