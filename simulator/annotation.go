package simulator

import (
	"cmp"
	"net/http"
	"slices"
)

// Annotation is a note on a build, or, with the scope "job", on a job.
type Annotation struct {
	Context  string `json:"context"`
	Style    string `json:"style,omitempty"`
	Body     string `json:"body"`
	Priority int    `json:"priority,omitempty"`
	Scope    string `json:"scope"`
	JobID    string `json:"job_id"`
}

func (s *Simulator) annotate(c *call) reply {
	var req struct {
		Annotation
		Append bool `json:"append"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	a := req.Annotation
	a.Context, a.Scope, a.JobID = cmp.Or(a.Context, "default"), cmp.Or(a.Scope, "build"), c.job.id
	if !slices.Contains([]string{"", "success", "info", "warning", "error"}, a.Style) {
		return *failure(http.StatusUnprocessableEntity, "style must be success, info, warning or error")
	}
	b := c.job.build
	i := b.annotation(a.Context, a.Scope, a.JobID)
	size := len(a.Body)
	if i >= 0 && req.Append {
		size += len(b.annotations[i].Body)
	}
	if rep := tooLarge("body", size, maxAnnotation); rep != nil {
		return *rep
	}
	switch {
	case i < 0 && a.Body == "":
		return *failure(http.StatusUnprocessableEntity, "body can't be blank")
	case i < 0:
		b.annotations = append(b.annotations, a)
	default:
		old := b.annotations[i]
		if req.Append {
			a.Body = old.Body + a.Body
		}
		a.Body, a.Style, a.Priority = cmp.Or(a.Body, old.Body), cmp.Or(a.Style, old.Style), cmp.Or(a.Priority, old.Priority)
		b.annotations[i] = a
	}
	return reply{status: http.StatusCreated, body: map[string]any{}}
}

func (b *build) annotation(context, scope, jobID string) int {
	return slices.IndexFunc(b.annotations, func(a Annotation) bool {
		return a.Context == context && a.Scope == scope && (scope == "build" || a.JobID == jobID)
	})
}

func (s *Simulator) removeAnnotation(c *call) reply {
	b := c.job.build
	i := b.annotation(c.params["context"], cmp.Or(c.r.URL.Query().Get("scope"), "build"), c.job.id)
	if i < 0 {
		return *failure(http.StatusNotFound, "Annotation not found")
	}
	b.annotations = slices.Delete(b.annotations, i, i+1)
	return reply{status: http.StatusNoContent}
}
