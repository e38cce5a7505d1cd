// Package config reads onejob.yaml. It refuses unknown keys, sets every default and names
// every fault at once. The file's JSON schema is config.schema.json, which make reference
// writes from the types and their comments.
package config
