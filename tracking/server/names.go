package server

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// randomName makes up a name like "brisk-otter-417" for a run that has none.
func randomName(random io.Reader) (string, error) {
	adjectives := strings.Fields(`able bold brave brisk calm clean clear clever cool crisp deep eager early easy fair fine fleet
		fond frank fresh gentle glad grand great handy happy keen kind light lively loyal lucky merry mild neat nimble noble open
		patient plain polite prime proud quick quiet rare ready rich round sharp silent smart smooth solid sound stable steady
		still strong sunny sure swift tidy true upright vivid warm wise worthy young`)
	nouns := strings.Fields(`ant badger bat bear bee beetle bison boar buck crab crane crow deer dove duck eagle eel elk falcon
		finch fish fox frog goat goose gull hare hawk heron horse ibis jay kite lark lemur lion lynx marten mole moose moth mouse
		newt otter owl ox panda perch pike pony quail ram raven robin rook seal shark sheep shrew snail snipe sole stag stork
		swan swift tapir tern toad trout viper wasp whale wolf wren yak zebra`)
	var b [12]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", err
	}
	pick := func(i int, n int) int { return int(binary.LittleEndian.Uint32(b[4*i:]) % uint32(n)) }
	return fmt.Sprintf("%s-%s-%d", adjectives[pick(0, len(adjectives))], nouns[pick(1, len(nouns))], pick(2, 1000)), nil
}
