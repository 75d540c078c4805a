package hydra

import (
	"fmt"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// choice is what an override, in a list or outside, makes of a group.
type choice struct {
	option  *string
	options []string
	// from is the entry of a list, nil for an override from outside.
	from    *entry
	config  string // that has the list
	outside dvcfile.Override
	used    bool
}

// deletion is ~group or ~group=option.
type deletion struct {
	option *string
	text   string
	used   bool
}

// choices are the overrides of groups, and what was chosen in the end.
type choices struct {
	made      map[string]*choice
	order     []string // of made
	deletions map[string]*deletion
	deleted   []string            // the order of deletions
	appended  []*entry            // +group=option
	known     *dvcfile.Map        // the chosen option of each group, by key
	keys      map[string][]string // the keys of each group
	values    []dvcfile.Override  // overrides of values
}

func usage(format string, args ...any) error { return errs.New(errs.Usage, format, args...) }

// sortOverrides tells overrides of groups from those of values.
func sortOverrides(r *repository, overrides []dvcfile.Override) (*choices, error) {
	c := &choices{made: map[string]*choice{}, deletions: map[string]*deletion{}, known: &dvcfile.Map{}, keys: map[string][]string{}}
	for _, o := range overrides {
		if _, isMap := o.Value.(*dvcfile.Map); isMap || !r.isGroup(o.Key) {
			c.values = append(c.values, o)
			continue
		}
		if err := c.add(o); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *choices) add(o dvcfile.Override) error {
	key := o.Key
	var pkg *string
	if o.HasPackage() {
		pkg = &o.Package
		key += "@" + o.Package
	}
	switch o.Op {
	case dvcfile.OpForce:
		return usage("force-add of config groups is not supported: '%s'", o.Input)
	case dvcfile.OpDelete:
		d := &deletion{text: key}
		switch v := o.Value.(type) {
		case nil:
		case string:
			d.option = &v
			d.text = key + "=" + v
		default:
			return usage("Config group override deletion value must be a string : %s", o.Input)
		}
		if c.deletions[key] == nil {
			c.deleted = append(c.deleted, key)
		}
		c.deletions[key] = d
		return nil
	}
	option, options, err := groupValue(o)
	if err != nil {
		return err
	}
	if o.Op == dvcfile.OpAdd {
		if o.Key == "" {
			return usage("'%s' names no config group", o.Input)
		}
		if pkg != nil && *pkg == "_here_" {
			pkg = new(string)
		}
		c.appended = append(c.appended, &entry{isGroup: true, path: o.Key, pkg: pkg, option: option, options: options, external: true})
		return nil
	}
	c.make(key, &choice{option: option, options: options, outside: o})
	return nil
}

func groupValue(o dvcfile.Override) (option *string, options []string, err error) {
	switch v := o.Value.(type) {
	case string:
		return &v, nil, nil
	case []dvcfile.Value:
		options = []string{}
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, nil, usage("the options of the config group '%s' are strings: %s", o.Key, o.Input)
			}
			options = append(options, s)
		}
		return nil, options, nil
	}
	return nil, nil, usage("Config group override must be a string or a list. Got %s: %s", pyType(o.Value), o.Input)
}

func (c *choices) make(key string, ch *choice) {
	if c.made[key] == nil {
		c.order = append(c.order, key)
	}
	c.made[key] = ch
}

// override takes an entry `override group: option` of a list, unless the group
// is overridden already.
func (c *choices) override(config string, e *entry) {
	if key := e.key(); c.made[key] == nil {
		c.make(key, &choice{option: e.option, options: e.options, from: e, config: config})
	}
}

// apply puts what was chosen into an entry.
func (c *choices) apply(e *entry) {
	if !e.isGroup {
		return
	}
	if ch := c.made[e.key()]; ch != nil {
		e.option, e.options = ch.option, ch.options
		ch.used = true
	}
}

// isDeleted tells whether an entry is to go, and notes that.
func (c *choices) isDeleted(e *entry) bool {
	if !e.isGroup {
		return false
	}
	d := c.deletions[e.key()]
	if d == nil {
		return false
	}
	if name, ok := e.name(); d.option != nil && (!ok || name != *d.option) {
		return false
	}
	d.used = true
	return true
}

// know notes the option of a group. Two different ones are an error.
func (c *choices) know(e *entry) error {
	if !e.isGroup {
		return nil
	}
	key := e.key()
	var name dvcfile.Value
	if s, ok := e.name(); ok {
		name = s
	}
	if before, ok := c.known.Get(key); !ok {
		c.known.Set(key, name)
	} else if before != name {
		return errs.At(e.pos, "Multiple values for %s. To override a value use 'override %s: %s'", key, key, dvcfile.PyStr(before))
	}
	if group := e.groupPath(); !slices.Contains(c.keys[group], key) {
		c.keys[group] = append(c.keys[group], key)
	}
	return nil
}

// checkUsed refuses overrides and deletions that met no entry.
func (c *choices) checkUsed() error {
	for _, key := range c.order {
		if ch := c.made[key]; !ch.used {
			return c.unused(key, ch)
		}
	}
	for _, key := range c.deleted {
		if d := c.deletions[key]; !d.used {
			return usage("Could not delete '%s'. No match in the defaults list", d.text)
		}
	}
	return nil
}

func (c *choices) unused(key string, ch *choice) error {
	group, _, _ := strings.Cut(key, "@")
	text := fmt.Sprintf("Could not override '%s'.", key)
	near := slices.Sorted(slices.Values(c.keys[group]))
	switch len(near) {
	case 0:
		text += " No match in the defaults list."
	case 1:
		text += " Did you mean to override " + near[0] + "?"
	default:
		text += " Did you mean to override one of " + strings.Join(near, ", ") + "?"
	}
	if ch.from != nil {
		return errs.At(ch.from.pos, "In '%s': %s", ch.config, text)
	}
	return errs.Hint(usage("%s", text), "to append to your default list use -S +%s", ch.outside.Input)
}
