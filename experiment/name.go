package experiment

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"ctrx/gitops"
	"ctrx/internal/errs"
)

var adjectives = strings.Fields(`agile amber ample azure brisk clear cosmic crisp dapper eager early fancy fleet fresh
 gentle giddy glad golden grand happy hardy humble jolly keen kind lively lucid lucky mellow merry mild modest neat
 nimble noble polar prime proud quick quiet rapid rosy royal rustic sharp shiny silent sleek smart snug solar sonic
 spry stark steady still sunny swift tidal tidy trim vivid warm wild wise witty young zesty`)

var nouns = strings.Fields(`acorn anvil aspen badge basil beacon birch bison brook cedar cliff cloud comet coral crane
 creek delta dune eagle ember falcon fern fjord flint forest gale gecko glade grove harbor hazel heron island ivory
 jade kelp lagoon larch lemur lilac lotus lynx maple marsh meadow mesa moss nebula oasis ocean olive opal orbit otter
 panda pearl pebble pine plume prairie quail quartz raven reef ridge river robin sable sage shore spruce summit thyme
 tide topaz tulip tundra valley willow wren`)

// RandomName makes an adjective-noun name that free accepts; after many
// collisions a number is appended.
func RandomName(r *rand.Rand, free func(string) bool) string {
	for try := 0; ; try++ {
		name := adjectives[r.IntN(len(adjectives))] + "-" + nouns[r.IntN(len(nouns))]
		if try > 50 {
			name = fmt.Sprintf("%s-%d", name, r.IntN(1_000_000))
		}
		if free(name) {
			return name
		}
	}
}

// CheckName refuses names that cannot be the last part of a Git ref, or would be
// taken for a flag.
func CheckName(name string) error {
	if strings.Contains(name, "/") {
		return errs.New(errs.Usage, "invalid experiment name '%s': it may not contain '/'", name)
	}
	if strings.HasPrefix(name, "-") {
		return errs.New(errs.Usage, "invalid experiment name '%s': it may not begin with '-'", name)
	}
	if err := gitops.CheckRefName("refs/exps/00/" + strings.Repeat("0", 38) + "/" + name); err != nil {
		return errs.New(errs.Usage, "invalid experiment name '%s': it cannot be part of a Git ref", name)
	}
	return nil
}
