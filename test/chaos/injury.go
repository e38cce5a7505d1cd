package chaos

import (
	"context"
	"math/rand/v2"
	"time"
)

// injury is one way to hurt.
type injury struct {
	name   string
	weight int // how often, compared with the others
	// least and most bound how long it lasts; 0 for what is done at once.
	least, most time.Duration
	// hurts names what only one lasting injury may hurt at a time.
	hurts string
	// unseats says that it may end a scheduler's lead, and with it what that
	// one alone has seen.
	unseats bool
	do      func(ctx context.Context, m *machine, rng *rand.Rand) (wound, error)
}

// wound is what an injury did.
type wound struct {
	what string   // to whom, for the record
	jobs []string // the IDs of the jobs whose runs it hit
	heal func(context.Context) error
}

func (in *injury) draw(rng *rand.Rand) time.Duration {
	if in.most == 0 {
		return 0
	}
	return in.least + time.Duration(rng.Int64N(int64(in.most-in.least)))
}

// injuries are all ways to hurt. Those that keep a runner from Buildkite last
// shorter than heartbeatTimeout, for beyond it Buildkite is right to give a
// running job up.
var injuries = []injury{
	{name: "scheduler killed", weight: 2, unseats: true, do: killScheduler},
	{name: "scheduler's pod deleted", weight: 2, unseats: true, do: deleteScheduler},
	{name: "runner killed", weight: 3, do: killRunner},
	{name: "pod deleted", weight: 2, do: deletePod},
	{name: "pod evicted", weight: 2, do: evictPod},
	{name: "kjob deleted", weight: 1, do: deleteKjob},
	{name: "pod orphaned", weight: 1, least: 2 * time.Second, most: 30 * time.Second, hurts: "kjob", do: orphanPod},
	{name: "kubelet killed", weight: 1, least: 2 * time.Second, most: 12 * time.Second, hurts: "kubelet", do: killKubelet},
	{name: "kubelet frozen", weight: 1, least: 3 * time.Second, most: 25 * time.Second, hurts: "kubelet", do: freezeKubelet},
	{name: "kubelet cut off", weight: 1, least: 4 * time.Second, most: 40 * time.Second, hurts: "kubelet", do: cutKubelet},
	{name: "API server stopped", weight: 1, least: 2 * time.Second, most: 14 * time.Second, hurts: "API server", unseats: true, do: stopAPIServer},
	{name: "API server cut off", weight: 2, least: 3 * time.Second, most: 18 * time.Second, hurts: "API server", unseats: true, do: cutAPIServer},
	{name: "Buildkite down", weight: 1, least: 3 * time.Second, most: 15 * time.Second, hurts: "Buildkite", do: stopBuildkite},
	{name: "Buildkite cut off from schedulers", weight: 1, least: 3 * time.Second, most: 18 * time.Second, hurts: "Buildkite", do: cutSchedulers},
	{name: "Buildkite cut off from runners", weight: 2, least: 3 * time.Second, most: 18 * time.Second, hurts: "Buildkite", do: cutRunners},
	{name: "5xx", weight: 1, least: 3 * time.Second, most: 12 * time.Second, hurts: "replies", do: serverErrors},
	{name: "429 storm", weight: 2, least: 4 * time.Second, most: 15 * time.Second, hurts: "replies", do: tooMany},
	{name: "replies lost", weight: 3, least: 5 * time.Second, most: 20 * time.Second, hurts: "replies", do: loseReplies},
	{name: "requests lost", weight: 1, least: 5 * time.Second, most: 20 * time.Second, hurts: "replies", do: loseRequests},
	{name: "garbage for replies", weight: 1, least: 4 * time.Second, most: 12 * time.Second, hurts: "replies", do: garbage},
	{name: "a proxy's pages", weight: 2, least: 4 * time.Second, most: 15 * time.Second, hurts: "replies", do: proxyPages},
	{name: "Buildkite not trusted", weight: 2, least: 4 * time.Second, most: 18 * time.Second, hurts: "Buildkite", do: distrust},
	{name: "slow replies", weight: 1, least: 5 * time.Second, most: 15 * time.Second, hurts: "replies", do: delays},
	{name: "clock jump", weight: 2, do: jumpClock},
	{name: "API server's clock", weight: 2, least: 3 * time.Second, most: 20 * time.Second, hurts: "API server", unseats: true, do: skewAPIServer},
	{name: "node's clock", weight: 2, least: 3 * time.Second, most: 15 * time.Second, hurts: "Buildkite", unseats: true, do: skewNode},
	{name: "scheduler's clock", weight: 2, least: 3 * time.Second, most: 20 * time.Second, hurts: "Buildkite", unseats: true, do: skewScheduler},
	{name: "job cancelled", weight: 1, do: cancelJob},
}
