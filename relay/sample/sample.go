// Package sample hides how plausible events are made up: web clicks and demo events of a small crowd
// of people who come back in sessions, gave consent to different extents, and have names that need
// UTF-8 and JSON escapes. The demo, the simulator and the load tests all draw from here.
//
// Everything is deterministic: two generators of the same seed and crowd write the same bytes. Every
// generator appends to the caller's buffer, allocates nothing once that is large enough, and writes
// one compact JSON object without a newline unless its comment says otherwise.
//
// An event can carry a Marker, a number its producer counts up, in a field that is not personal. Who
// reads a stream finds by it what was lost, doubled or put out of order, whatever the stream hides.
package sample

import "math/rand/v2"

// The contracts that the generated events belong to, both built in.
const (
	ClickstreamRef = "strmprivacy/clickstream/1.0.0"
	ExampleRef     = "strmprivacy/example/1.5.0"
)

// DefaultPeople is the size of the crowd when New is given none.
const DefaultPeople = 1000

// sessionsPerPerson is how many sessions of a person are alive at once: a few, so that the same key
// field value returns often, as it does on a web site.
const sessionsPerPerson = 3

// Generator makes events of one crowd. One goroutine at a time.
type Generator struct {
	rng    *rand.Rand
	people uint32
}

// New gives a generator. The crowd has that many people, numbered from 0; 0 means DefaultPeople.
func New(seed uint64, people int) *Generator {
	if people <= 0 || people > maxPeople {
		people = DefaultPeople
	}
	return &Generator{rng: rand.New(rand.NewPCG(seed, 0x736c75696365)), people: uint32(people)}
}

// maxPeople is what six digits number.
const maxPeople = 1_000_000

// Event appends a random event of one of the two contracts and says which.
func (g *Generator) Event(dst []byte, m Marker) ([]byte, string) {
	if g.rng.Uint32()&1 == 0 {
		return g.Clickstream(dst, m), ClickstreamRef
	}
	return g.Example(dst, m), ExampleRef
}

// consents are the sets that producers send in practice: none, or everything up to a level.
var consents = [...]string{"[]", "[0]", "[0,1]", "[0,1,2]", "[0,1,2,3]"}

// meta appends the strmMeta member. Now and then it names the members that the gateway fills, as
// null, the way older producers do.
func (g *Generator) meta(dst []byte, ref string) []byte {
	dst = append(dst, `{"strmMeta":{"eventContractRef":"`...)
	dst = append(dst, ref...)
	if g.rng.Uint32()%16 == 0 {
		dst = append(dst, `","nonce":null,"timestamp":null,"keyLink":null,"billingId":null,"consentLevels":`...)
	} else {
		dst = append(dst, `","consentLevels":`...)
	}
	dst = append(dst, g.pick(consents[:])...)
	return append(dst, '}')
}

func (g *Generator) pick(from []string) string {
	return from[g.rng.IntN(len(from))]
}

// chance is true once in n times.
func (g *Generator) chance(n uint32) bool { return g.rng.Uint32N(n) == 0 }
