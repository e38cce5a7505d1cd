package simulator

import "net/http"

func (s *Simulator) serveControl(w http.ResponseWriter, r *http.Request, segments []string) bool {
	return false
}
