package doctor

import (
	"context"
	"errors"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// mirrors looks for the snapshot of a queue's git mirrors, where it has such. Without one
// jobs are run, and clone.
func (p *Patient) mirrors(ctx context.Context, q config.Queue) []Finding {
	of := q.GitMirrors.Snapshot
	if of == nil {
		return nil
	}
	f := about("git-mirrors", "queue "+q.Name)
	name, err := kjob.NewestSnapshot(ctx, p.kube, q.Namespace, *of)
	switch {
	case errors.Is(err, kjob.ErrMayNotLook) && !p.isScheduler(ctx):
		return []Finding{f.not(Skip, "who runs this may not list volumesnapshots in namespace "+q.Namespace,
			"to ask as the scheduler: --as system:serviceaccount:"+p.Namespace+":onejob")}
	case err != nil:
		return []Finding{f.not(Warn, contract.Sentence("its jobs have no git mirrors, and clone: "+err.Error()), "docs/git.md, snapshots: what makes them, and the right to list them")}
	}
	return []Finding{f.ok("each job has a copy of the VolumeSnapshot " + name)}
}
