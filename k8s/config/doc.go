// Package config reads onejob.yaml: strictly, with every default filled in and
// every fault named at once. Its JSON schema is beside it.
package config
