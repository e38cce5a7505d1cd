// Command keeper is the sandbox's own half of package sandbox: started by an
// owner, never by hand.
package main
