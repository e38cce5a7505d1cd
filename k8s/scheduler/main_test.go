package scheduler

import (
	"testing"

	"go.uber.org/goleak"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

func TestMain(m *testing.M) {
	watch.DefaultChanSize = 20_000  // a bubble's burst comes in one instant
	utilruntime.ErrorHandlers = nil // one of them paces itself by a clock that no bubble has
	goleak.VerifyTestMain(m)
}
