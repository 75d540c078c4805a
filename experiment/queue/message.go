package queue

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// Entry is a queued experiment as DVC writes it into the message.
type Entry struct {
	DVCRoot  string  `json:"dvc_root"`
	SCMRoot  string  `json:"scm_root"`
	StashRef string  `json:"stash_ref"`
	Rev      string  `json:"stash_rev"` // stash commit
	Baseline string  `json:"baseline_rev"`
	Branch   *string `json:"branch"`
	Name     *string `json:"name"`
	Head     *string `json:"head_rev"` // commit that the run starts from
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func pointer(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// message is one task of the queue: a file of DVC's broker.
type message struct {
	ID        string // of the task
	Entry     Entry
	CopyPaths []string // -C, relative to the project root
	Message   string   // -m
	Priority  int      // higher runs first; DVC ignores it
}

// taskName is the function that DVC's worker calls for such a message.
const taskName = "dvc.repo.experiments.queue.tasks.run_exp"

// routingKey is the queue that DVC's tasks are in; other messages in the same
// folder are talk between its workers.
const routingKey = "celery"

type wireMessage struct {
	Body            string         `json:"body"`
	ContentEncoding string         `json:"content-encoding"`
	ContentType     string         `json:"content-type"`
	Headers         wireHeaders    `json:"headers"`
	Properties      wireProperties `json:"properties"`
}

type wireHeaders struct {
	Lang         string         `json:"lang"`
	Task         string         `json:"task"`
	ID           string         `json:"id"`
	Shadow       *string        `json:"shadow"`
	ETA          *string        `json:"eta"`
	Expires      any            `json:"expires"`
	Group        *string        `json:"group"`
	GroupIndex   *int           `json:"group_index"`
	Retries      int            `json:"retries"`
	TimeLimit    []*float64     `json:"timelimit"`
	RootID       string         `json:"root_id"`
	ParentID     *string        `json:"parent_id"`
	ArgsRepr     string         `json:"argsrepr"`
	KwargsRepr   string         `json:"kwargsrepr"`
	Origin       string         `json:"origin"`
	IgnoreResult bool           `json:"ignore_result"`
	Nesting      int            `json:"replaced_task_nesting"`
	Stamped      *string        `json:"stamped_headers"`
	Stamps       map[string]any `json:"stamps"`
}

type wireProperties struct {
	CorrelationID string       `json:"correlation_id"`
	ReplyTo       string       `json:"reply_to"`
	DeliveryMode  int          `json:"delivery_mode"`
	DeliveryInfo  deliveryInfo `json:"delivery_info"`
	Priority      int          `json:"priority"`
	BodyEncoding  string       `json:"body_encoding"`
	DeliveryTag   string       `json:"delivery_tag"`
}

type deliveryInfo struct {
	Exchange   string `json:"exchange"`
	RoutingKey string `json:"routing_key"`
}

// callArguments are the keyword arguments in the body of a message.
type callArguments struct {
	CopyPaths []string `json:"copy_paths"`
	Message   *string  `json:"message"`
	Entry     *Entry   `json:"entry_dict,omitempty"`
}

// encode writes the message; replyTo and tag are fresh ids that DVC's library
// asks for.
func (m message) encode(replyTo, tag string) ([]byte, error) {
	call := callArguments{CopyPaths: m.CopyPaths, Message: pointer(m.Message)}
	if call.CopyPaths == nil {
		call.CopyPaths = []string{}
	}
	body, err := json.Marshal([]any{[]Entry{m.Entry}, call, map[string]any{"callbacks": nil, "errbacks": nil, "chain": nil, "chord": nil}})
	if err != nil {
		return nil, err
	}
	return json.Marshal(wireMessage{
		Body: base64.StdEncoding.EncodeToString(body), ContentEncoding: "utf-8", ContentType: "application/json",
		Headers: wireHeaders{
			Lang: "py", Task: taskName, ID: m.ID, RootID: m.ID, TimeLimit: []*float64{nil, nil},
			ArgsRepr: "()", KwargsRepr: "{}", Origin: "ctrx", Stamps: map[string]any{},
		},
		Properties: wireProperties{
			CorrelationID: m.ID, ReplyTo: replyTo, DeliveryMode: 2, DeliveryInfo: deliveryInfo{RoutingKey: routingKey},
			Priority: m.Priority, BodyEncoding: "base64", DeliveryTag: tag,
		},
	})
}

// decodeMessage reads a message. ok is false for messages that are no
// experiments.
func decodeMessage(file string, data []byte) (m message, ok bool, err error) {
	bad := func(format string, args ...any) (message, bool, error) {
		return message{}, false, errs.New(errs.ProjectFile, "%s: %s", file, fmt.Sprintf(format, args...))
	}
	var w wireMessage
	if err := json.Unmarshal(data, &w); err != nil {
		return bad("not a message of the queue: %v", err)
	}
	if w.Headers.Task != taskName || w.Properties.DeliveryInfo.RoutingKey != routingKey {
		return message{}, false, nil
	}
	body := []byte(w.Body)
	if w.Properties.BodyEncoding == "base64" {
		if body, err = base64.StdEncoding.DecodeString(w.Body); err != nil {
			return bad("the body: %v", err)
		}
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(body, &parts); err != nil || len(parts) < 2 {
		return bad("the body does not hold a call")
	}
	var args []Entry
	var call callArguments
	if err := json.Unmarshal(parts[0], &args); err != nil {
		return bad("the arguments: %v", err)
	}
	if err := json.Unmarshal(parts[1], &call); err != nil {
		return bad("the arguments: %v", err)
	}
	if call.Entry != nil {
		args = []Entry{*call.Entry}
	}
	if len(args) == 0 {
		return bad("the call has no experiment")
	}
	m = message{ID: w.Headers.ID, Entry: args[0], CopyPaths: call.CopyPaths, Message: text(call.Message), Priority: w.Properties.Priority}
	if !validID(m.ID) || !isHash(m.Entry.Rev) || !isHash(m.Entry.Baseline) || m.Entry.Head != nil && !isHash(*m.Entry.Head) {
		return bad("the task's id or a commit in it is not one")
	}
	return m, true, nil
}

func isHash(s string) bool {
	return len(s) == 40 && strings.Trim(s, "0123456789abcdef") == ""
}

// note is the message of a stash commit and of its line in the log of the
// queue's ref: DVC finds its entries by it.
type note struct {
	Head, Baseline, Name, Branch string
}

const notePrefix = "dvc-exp:"

func (n note) String() string {
	s := notePrefix + n.Head + ":" + n.Baseline + ":" + n.Name
	if n.Branch != "" {
		s += ":" + n.Branch
	}
	return s
}

// parseNote reads the message of a log line; the word before the colon is what
// git puts there.
func parseNote(line string) (note, bool) {
	i := strings.Index(line, notePrefix)
	if i < 0 || i > 0 && !slices.Contains([]string{"commit: ", "On (no branch): "}, line[:i]) {
		return note{}, false
	}
	parts := strings.SplitN(line[i+len(notePrefix):], ":", 4)
	if len(parts) < 3 || !isHash(parts[0]) || !isHash(parts[1]) {
		return note{}, false
	}
	n := note{Head: parts[0], Baseline: parts[1], Name: parts[2]}
	if len(parts) == 4 {
		n.Branch = parts[3]
	}
	return n, true
}
