package pipeline

import (
	"strings"

	"ctrx/pipeline/dvcfile"
)

// Surroundings are the environment and the time, for interpolations in params
// files such as ${oc.env:NAME}.
func (p *Project) Surroundings() dvcfile.Surroundings {
	return dvcfile.Surroundings{LookupEnv: p.lookupEnv, Now: p.now()}
}

// lookupEnv finds a variable of the project's environment; the last one wins.
func (p *Project) lookupEnv(name string) (string, bool) {
	for i := len(p.env) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(p.env[i], "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}
