package dvcfile

// tokenKind is the kind of a lexical token of YAML.
type tokenKind byte

const (
	tkStreamEnd tokenKind = iota
	tkDirective
	tkDocumentStart
	tkDocumentEnd
	tkBlockSeqStart
	tkBlockMapStart
	tkBlockEnd
	tkFlowSeqStart
	tkFlowSeqEnd
	tkFlowMapStart
	tkFlowMapEnd
	tkKey
	tkValue
	tkBlockEntry
	tkFlowEntry
	tkAlias
	tkAnchor
	tkTag
	tkScalar
	tkComment
)

// tokenNames say what was found, in error messages.
var tokenNames = [...]string{
	"the end of the file", "a directive", "---", "...", "a list", "a mapping", "the end of the block",
	"[", "]", "{", "}", "a key", ":", "-", ",", "an alias", "an anchor", "a tag", "a value", "a comment",
}

func (k tokenKind) String() string { return tokenNames[k] }

// mark is a place in the text.
type mark struct {
	line int32 // from 0
	col  int32 // from 0, in characters
}

// comment is a run of comment lines and blank lines, kept as text.
type comment struct {
	text string
	at   mark // of its first character; the column decides where it is written back
	done bool // written before a collection already
}

// comments are what stands around a token or node.
type comments struct {
	post *comment   // the rest of the line and the comment lines after it
	pre  []*comment // the lines before; nil and empty differ
	// key marks a comment after "key:" that has no value on its line yet.
	key    *comment
	hasKey bool
	end    []*comment // after the last entry of a collection
	hasEnd bool
}

type ytoken struct {
	kind       tokenKind
	style      byte // of a scalar: 0 plain, or ' " | >
	start, end mark
	text       string // scalar text, names, directive; of a tag its handle, a NUL and its suffix
	block      *blockForm
	comments   *comments
}

// blockForm is what a | or > scalar has besides its text.
type blockForm struct {
	folds  []int  // of >: offsets of the blanks that were line breaks
	header string // the comment on the first line
}

func (t *ytoken) addPost(c *comment) {
	if t.comments == nil {
		t.comments = &comments{}
	}
	t.comments.post = c
}

func (t *ytoken) addPre(cs []*comment) {
	if t.comments == nil {
		t.comments = &comments{}
	}
	t.comments.pre = append(t.comments.pre, cs...)
}

// moveComments hands the comments of a token that makes no node to the token
// that follows it. afterKey is for the comment after "key:" whose value begins
// on a later line.
func (t *ytoken) moveComments(target *ytoken, afterKey bool) {
	c := t.comments
	if c == nil || target.kind == tkStreamEnd || target.kind == tkDocumentStart {
		return
	}
	t.comments = nil
	tc := target.comments
	if tc == nil {
		if afterKey {
			c = &comments{post: c.post, pre: c.pre, key: c.post, hasKey: true}
		}
		target.comments = c
		return
	}
	if c.pre != nil && tc.pre != nil {
		c.pre = append(c.pre, tc.pre...)
	}
	if c.post != nil {
		tc.post = c.post
	}
	if c.pre != nil {
		tc.pre = c.pre
	}
}
