package dvcfile

type yKind byte

const (
	yScalar yKind = iota
	ySeq
	yMap
	yAlias
	yPlain // a value that was set after parsing
)

// ynode is a node of the syntax tree of a YAML document.
type ynode struct {
	kind   yKind
	style  byte   // of a scalar: 0 plain, or ' " | >
	flow   bool   // of a list or mapping: [..] or {..}
	tag    string // explicit tag, "" if none; "!" forces a string
	anchor string
	text   string   // of a scalar its value, of an alias the anchor's name
	items  []*ynode // of a list; of a mapping keys and values in turn
	target *ynode   // of an alias
	value  Value    // of kind yPlain
	block  *blockForm
	line   int32 // from 1
	col    int32 // from 1, in characters

	comments *comments // as scanned
	// own and entries are what a collection keeps of its comments and of those
	// of its entries (aligned with the entries); see attach.
	own     *comments
	forgets bool // a list whose comments DVC loses, because an item is "| # comment"
	entries []*entryComments
}

// scalarTag is the type of a scalar: its tag or what its text resolves to.
func (n *ynode) scalarTag() string {
	switch {
	case n.tag == "!":
		return tagStr
	case n.tag != "":
		return n.tag
	case n.style == 0:
		return resolvePlain(n.text)
	}
	return tagStr
}

// entryComments are the comments a collection keeps for one entry. A list uses
// the first two.
type entryComments struct {
	post      *comment
	pre       []*comment
	valuePost *comment
	valuePre  []*comment
}

// header is the comment after | or >, with the blanks before it.
func (n *ynode) header() string {
	if n.block == nil {
		return ""
	}
	return n.block.header
}
