package cluster_test

import (
	"os"
	"testing"

	"github.com/onejob-dev/onejob/test/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }
