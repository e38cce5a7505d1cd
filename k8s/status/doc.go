// Package status is the scheduler's page for people: what its queues, jobs and warm
// placeholders are doing. It is read-only, and asks nobody: whoever serves it says what
// the page shows, from memory, when somebody looks.
//
//	GET /                  the page, complete without its script
//	GET /?format=json      the same data
//	GET /status.css, .js   what the page is made of
//
// The script asks for the page every few seconds and replaces the parts that changed.
package status
