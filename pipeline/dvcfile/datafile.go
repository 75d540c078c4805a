package dvcfile

import (
	"crypto/md5"
	"encoding/hex"
	"slices"

	"ctrx/internal/errs"
)

// DataFile is a .dvc file: the record of data that was added or imported.
type DataFile struct {
	File          string
	MD5           string // checksum of an import; "" for data that was added
	WDir          string // folder the paths are relative to, below the file's; "" is the file's own
	Frozen        bool
	AlwaysChanged bool
	Desc          string
	Meta          Value
	Deps          []Entry // what was imported; Extra has repo, db, fs_config
	Outs          []DataOut

	doc *Document // nil for a new file
}

// DataOut is an output of a .dvc file.
type DataOut struct {
	Entry
	Cache, Push        bool // both true unless the file says otherwise
	Persist            bool
	Remote, Desc, Type string
	Labels             []string
	Meta               Value
}

// NewDataFile makes the .dvc file of added data.
func NewDataFile(file string, outs ...Entry) *DataFile {
	d := &DataFile{File: file}
	for _, e := range outs {
		d.Outs = append(d.Outs, DataOut{Entry: e, Cache: true, Push: true})
	}
	return d
}

var (
	dataFileKeys = []string{"md5", "wdir", "deps", "outs", "locked", "frozen", "meta", "always_changed", "desc"}
	dataOutKeys  = []string{"etag", "checksum", "version_id", "cloud", "files", "fs_config"}
	dataDepKeys  = []string{"etag", "checksum", "version_id", "cloud", "files", "fs_config", "persist", "repo", "db"}
	// checksumIgnores are the keys that do not count for the checksum of an
	// import, at any depth.
	checksumIgnores = []string{"desc", "type", "labels", "meta", "locked", "frozen", "metric", "persist", "isexec", "size", "nfiles"}
)

// ParseDataFile reads a .dvc file. Errors are errs.ProjectFile with file:line:col.
func ParseDataFile(file string, data []byte) (*DataFile, error) {
	if err := findConflict(file, data); err != nil {
		return nil, err
	}
	doc, n, err := parseDocument(file, data)
	if err != nil {
		return nil, err
	}
	d := &DataFile{File: file, doc: doc}
	if n.Value == nil {
		return d, nil
	}
	if _, ok := n.Map(); !ok {
		return nil, errs.At(n.Pos, "a .dvc file is a mapping, not %s", kindName(n.Value))
	}
	for i, kn := range n.Keys {
		if err := d.set(kn, n.Items[i]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *DataFile) set(kn, v *Node) (err error) {
	key, _ := kn.Value.(string)
	switch key {
	case "md5":
		d.MD5, err = wantChecksum(v, key)
	case "wdir":
		if v.Value != nil {
			d.WDir, err = wantString(v, key)
		}
	case "desc":
		d.Desc, err = wantString(v, key)
	case "meta":
		d.Meta = v.Value
	case "frozen", "locked":
		var on bool
		on, err = wantBool(v, key)
		d.Frozen = d.Frozen || on
	case "always_changed":
		d.AlwaysChanged, err = wantBool(v, key)
	case "deps":
		return eachItem(v, key, func(item *Node) error {
			e, err := parseEntry(item, dataDepKeys, nil)
			d.Deps = append(d.Deps, e)
			return err
		})
	case "outs":
		return eachItem(v, key, func(item *Node) error {
			o, err := parseDataOut(item)
			d.Outs = append(d.Outs, o)
			return err
		})
	default:
		return unknownKey(kn, dataFileKeys)
	}
	return err
}

// eachItem calls do for each item of a list; null is an empty one.
func eachItem(n *Node, what string, do func(*Node) error) error {
	if _, ok := n.Value.([]Value); !ok && n.Value != nil {
		return errs.At(n.Pos, "%s must be a list, not %s", what, kindName(n.Value))
	}
	for _, item := range n.Items {
		if err := do(item); err != nil {
			return err
		}
	}
	return nil
}

func parseDataOut(n *Node) (DataOut, error) {
	o := DataOut{Cache: true, Push: true}
	var err error
	o.Entry, err = parseEntry(n, dataOutKeys, func(key string, v *Node) error { return o.setFlag(n, key, v) })
	return o, err
}

func (o *DataOut) setFlag(out *Node, key string, v *Node) (err error) {
	switch key {
	case "cache":
		o.Cache, err = wantBool(v, key)
	case "push":
		o.Push, err = wantBool(v, key)
	case "persist":
		o.Persist, err = wantBool(v, key)
	case "remote":
		o.Remote, err = wantString(v, key)
	case "desc":
		o.Desc, err = wantString(v, key)
	case "type":
		o.Type, err = wantString(v, key)
	case "meta":
		o.Meta = v.Value
	case "labels":
		return eachItem(v, key, func(item *Node) error {
			s, err := wantString(item, "a label")
			o.Labels = append(o.Labels, s)
			return err
		})
	default:
		for _, kn := range out.Keys {
			if kn.Value == key || key == "" {
				return unknownKey(kn, append([]string{"path", "md5", "size", "nfiles", "isexec", "hash", "cache", "push",
					"persist", "remote", "desc", "type", "meta", "labels"}, dataOutKeys...))
			}
		}
	}
	return err
}

// Value is the contents with the key order of a new file.
func (d *DataFile) Value() *Map {
	m := &Map{}
	setIf(m, "desc", d.Desc, d.Desc != "")
	setIf(m, "md5", d.MD5, d.MD5 != "")
	setIf(m, "wdir", d.WDir, d.WDir != "" && d.WDir != ".")
	setIf(m, "frozen", true, d.Frozen)
	deps := make([]Value, len(d.Deps))
	for i, e := range d.Deps {
		deps[i] = e.depValue()
	}
	setIf(m, "deps", deps, len(deps) > 0)
	outs := make([]Value, len(d.Outs))
	for i, o := range d.Outs {
		outs[i] = o.value()
	}
	setIf(m, "outs", outs, len(outs) > 0)
	setIf(m, "always_changed", true, d.AlwaysChanged)
	setIf(m, "meta", d.Meta, pyTrue(d.Meta))
	return m
}

func setIf(m *Map, key string, v Value, condition bool) {
	if condition {
		m.Set(key, v)
	}
}

// pyTrue is Python's bool().
func pyTrue(v Value) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return v != ""
	case []Value:
		return len(v) > 0
	case *Map:
		return v.Len() > 0
	}
	n, ok := numberOf(v)
	return !ok || !n.equal(number{})
}

func (e Entry) depValue() *Map {
	m := e.dataValue()
	e.addExtra(m)
	return m
}

func (o DataOut) value() *Map {
	m := o.dataValue()
	setIf(m, "desc", o.Desc, o.Desc != "")
	setIf(m, "type", o.Type, o.Type != "")
	if len(o.Labels) > 0 {
		labels := make([]Value, len(o.Labels))
		for i, l := range o.Labels {
			labels[i] = l
		}
		m.Set("labels", labels)
	}
	setIf(m, "meta", o.Meta, pyTrue(o.Meta))
	setIf(m, "cache", false, !o.Cache)
	setIf(m, "persist", true, o.Persist)
	setIf(m, "remote", o.Remote, o.Remote != "")
	setIf(m, "push", false, !o.Push)
	o.addExtra(m)
	return m
}

// Checksum computes the md5 that the file of an import carries.
func (d *DataFile) Checksum() string {
	m := d.Value()
	for _, k := range []string{"md5", "meta", "desc"} {
		m.Delete(k)
	}
	w := jsonWriter{sorted: true, skip: func(k string) bool { return slices.Contains(checksumIgnores, k) }}
	sum := md5.Sum(w.value(m).out)
	return hex.EncodeToString(sum[:])
}

// Encode gives the file. One that was parsed keeps its comments and the order
// of its keys; new keys go to the end of their mapping.
func (d *DataFile) Encode() []byte {
	if d.doc == nil {
		return EmitYAML(d.Value())
	}
	if err := d.doc.ApplyDiff(d.Value()); err != nil {
		return EmitYAML(d.Value())
	}
	return d.doc.Encode()
}
