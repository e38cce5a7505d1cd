package simulator

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// multipartAbove is the size, in bytes, above which a client that can uploads an artifact in
// parts. partSize is the size of one part.
const (
	multipartAbove = 8 << 20
	partSize       = 5 << 20
)

// artifact is a file of a job, which the job announces, uploads and then finishes.
type artifact struct {
	Artifact
	job   *job
	batch string
	data  []byte
	parts map[int][]byte
}

// Artifact is a snapshot of a file that a job uploaded, as the API shows it.
type Artifact struct {
	ID                string    `json:"id"`
	Path              string    `json:"path"`
	AbsolutePath      string    `json:"absolute_path"`
	FileSize          int64     `json:"file_size"`
	Sha1Sum           string    `json:"sha1sum"`
	Sha256Sum         string    `json:"sha256sum"`
	JobID             string    `json:"job_id"`
	CreatedAt         time.Time `json:"created_at"`
	URL               string    `json:"url,omitempty"`
	UploadDestination string    `json:"upload_destination,omitempty"`
	ContentType       string    `json:"content_type,omitempty"`
	State             string    `json:"state"` // new, finished or error
}

type uploadAction struct {
	URL        string `json:"url,omitempty"`
	Method     string `json:"method"`
	Path       string `json:"path"`
	FileInput  string `json:"file_input"`
	PartNumber int    `json:"part_number,omitempty"`
}

type uploadInstructions struct {
	Action  uploadAction      `json:"action"`
	Actions []uploadAction    `json:"actions,omitempty"`
	Data    map[string]string `json:"data"`
}

// createArtifacts announces a batch. The batch's id makes a repeat harmless.
func (s *Simulator) createArtifacts(c *call) reply {
	var req struct {
		ID                 string     `json:"id"`
		Artifacts          []Artifact `json:"artifacts"`
		UploadDestination  string     `json:"upload_destination"`
		MultipartSupported bool       `json:"multipart_supported"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	if req.ID == "" {
		return *failure(http.StatusUnprocessableEntity, "id is required")
	}
	if rep := s.artifactLimited(c); rep != nil {
		return *rep
	}
	key := c.job.id + "/" + req.ID
	ids := c.job.build.batches[key]
	if ids == nil {
		if had := c.job.artifacts + len(req.Artifacts); had > maxArtifactsPerJob {
			return *failure(http.StatusUnprocessableEntity, fmt.Sprintf("The job has too many artifacts (%d, maximum is %d)", had, maxArtifactsPerJob))
		}
		c.job.artifacts += len(req.Artifacts)
		for _, a := range req.Artifacts {
			if a.FileSize > min(s.conf.ArtifactMaxBytes, maxArtifact) {
				return *failure(http.StatusUnprocessableEntity, "Artifact is too large: "+a.Path)
			}
		}
		for _, a := range req.Artifacts {
			a.ID, a.JobID, a.CreatedAt, a.State = s.newID(), c.job.id, c.now.UTC(), "new"
			a.UploadDestination = cmp.Or(a.UploadDestination, req.UploadDestination)
			stored := &artifact{Artifact: a, job: c.job, batch: key}
			s.artifacts[a.ID] = stored
			c.job.build.artifacts = append(c.job.build.artifacts, stored)
			ids = append(ids, a.ID)
		}
		if c.job.build.batches == nil {
			c.job.build.batches = map[string][]string{}
		}
		c.job.build.batches[key] = ids
	}
	host := base(c.r)
	each := map[string]uploadInstructions{}
	for _, id := range ids {
		if a := s.artifacts[id]; req.MultipartSupported && a.FileSize > multipartAbove {
			each[id] = partInstructions(host, a)
		}
	}
	return reply{status: http.StatusCreated, body: map[string]any{
		"id":           req.ID,
		"artifact_ids": ids,
		"upload_instructions": uploadInstructions{
			Action: uploadAction{URL: host, Method: http.MethodPost, Path: "/_sim/artifact-uploads", FileInput: "file"},
			Data:   map[string]string{"batch": key, "path": "${artifact:path}"},
		},
		"per_artifact_instructions": each,
	}}
}

func partInstructions(host string, a *artifact) uploadInstructions {
	var in uploadInstructions
	parts := int((a.FileSize + partSize - 1) / partSize)
	for n := 1; n <= parts; n++ {
		in.Actions = append(in.Actions, uploadAction{
			URL:    fmt.Sprintf("%s/_sim/artifact-parts/%s/%d", host, a.ID, n),
			Method: http.MethodPut, PartNumber: n,
		})
	}
	return in
}

// artifactForm is the content of a form upload.
type artifactForm struct {
	batch, path string
	data        []byte
}

// readArtifactForm reads an upload as an object store does, without a token: uploadArtifact
// checks the batch in the form instead.
func (s *Simulator) readArtifactForm(c *call) *reply {
	_, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return failure(http.StatusBadRequest, "Not a form")
	}
	form := &artifactForm{}
	mr := multipart.NewReader(bytes.NewReader(c.body), params["boundary"])
	for {
		part, err := mr.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return failure(http.StatusBadRequest, "Malformed form: "+err.Error())
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return failure(http.StatusBadRequest, "Malformed form: "+err.Error())
		}
		switch part.FormName() {
		case "batch":
			form.batch = string(data)
		case "path":
			form.path = string(data)
		case "file":
			form.data = data
		}
	}
	c.form, c.body = form, nil
	return nil
}

func (s *Simulator) uploadArtifact(c *call) reply {
	jobID, _, _ := strings.Cut(c.form.batch, "/")
	j := s.jobs[jobID]
	if j == nil {
		return *failure(http.StatusForbidden, "Unknown batch")
	}
	for _, id := range j.build.batches[c.form.batch] {
		if a := s.artifacts[id]; a.Path == c.form.path {
			a.data = c.form.data
			return reply{status: http.StatusCreated, body: map[string]any{}}
		}
	}
	return *failure(http.StatusForbidden, "No such artifact in the batch")
}

func (s *Simulator) uploadPart(c *call) reply {
	a := s.artifacts[c.params["artifact"]]
	n, err := strconv.Atoi(c.params["part"])
	if a == nil || err != nil || n < 1 || int64(n) > a.FileSize/partSize+1 {
		return *failure(http.StatusForbidden, "No such artifact part")
	}
	if a.parts == nil {
		a.parts = map[int][]byte{}
	}
	a.parts[n] = c.body
	return reply{status: http.StatusOK}.with("ETag", etag(c.body))
}

func etag(data []byte) string {
	sum := sha1.Sum(data)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// updateArtifacts marks uploads as finished or failed, joining parts.
func (s *Simulator) updateArtifacts(c *call) reply {
	var req struct {
		Artifacts []struct {
			ID             string `json:"id"`
			State          string `json:"state"`
			Multipart      bool   `json:"multipart"`
			MultipartETags []struct {
				PartNumber int    `json:"part_number"`
				ETag       string `json:"etag"`
			} `json:"multipart_etags"`
		} `json:"artifacts"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	if rep := s.artifactLimited(c); rep != nil {
		return *rep
	}
	for _, up := range req.Artifacts {
		a := s.artifacts[up.ID]
		if a == nil || a.job != c.job {
			return *failure(http.StatusNotFound, "Artifact not found: "+up.ID)
		}
		if up.State != "finished" && up.State != "error" {
			return *failure(http.StatusUnprocessableEntity, "state must be finished or error")
		}
		if up.Multipart && up.State == "finished" && a.parts != nil {
			var whole []byte
			for i, tag := range up.MultipartETags {
				if tag.PartNumber != i+1 || etag(a.parts[i+1]) != tag.ETag {
					return *failure(http.StatusUnprocessableEntity, "The parts' ETags don't match")
				}
				whole = append(whole, a.parts[i+1]...)
			}
			a.data, a.parts = whole, nil
		}
		a.State = up.State
	}
	return ok(map[string]any{})
}
