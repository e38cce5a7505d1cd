package simulator

import (
	"maps"
	"net/http"
	"slices"
)

type metaDatum struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (s *Simulator) setMetaData(c *call) reply {
	var req metaDatum
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	return s.putMetaData(c, []metaDatum{req})
}

func (s *Simulator) setMetaDataBatch(c *call) reply {
	var req struct {
		Items []metaDatum `json:"items"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	return s.putMetaData(c, req.Items)
}

func (s *Simulator) putMetaData(c *call, items []metaDatum) reply {
	for _, item := range items {
		if item.Key == "" {
			return *failure(http.StatusUnprocessableEntity, "key can't be blank")
		}
		if rep := tooLarge("value", len(item.Value), maxMetaData); rep != nil {
			return *rep
		}
	}
	for _, item := range items {
		c.job.build.metaData[item.Key] = item.Value
	}
	return ok(map[string]any{})
}

// metaData is the build's, whether the path names the job or the build.
func (s *Simulator) metaData(c *call) (map[string]string, *reply) {
	if c.params["build"] == "" {
		return c.job.build.metaData, nil
	}
	b, rep := s.buildOf(c)
	if rep != nil {
		return nil, rep
	}
	return b.metaData, nil
}

func (s *Simulator) getMetaData(c *call) reply {
	var req metaDatum
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	data, rep := s.metaData(c)
	if rep != nil {
		return *rep
	}
	value, has := data[req.Key]
	if !has {
		return *failure(http.StatusNotFound, "No key \""+req.Key+"\" has been set on this build")
	}
	return ok(metaDatum{req.Key, value})
}

func (s *Simulator) existsMetaData(c *call) reply {
	var req metaDatum
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	data, rep := s.metaData(c)
	if rep != nil {
		return *rep
	}
	_, has := data[req.Key]
	return ok(map[string]any{"exists": has})
}

func (s *Simulator) metaDataKeys(c *call) reply {
	data, rep := s.metaData(c)
	if rep != nil {
		return *rep
	}
	keys := slices.Sorted(maps.Keys(data))
	if keys == nil {
		keys = []string{}
	}
	return ok(keys)
}
