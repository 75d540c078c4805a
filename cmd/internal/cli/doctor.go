package cli

import (
	"crypto/rand"
	"errors"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/storage/s3"
)

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version", Short: "Print versions and what this project uses", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c, asJSON, false) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) doctorCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "doctor", Short: "Print what a report of a problem needs, and check the project's surroundings", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c, asJSON, true) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.AddCommand(a.doctorS3Command())
	return c
}

// doctorResult is what --json prints. The first seven keys are of `version`.
type doctorResult struct {
	Ctrx     string              `json:"ctrx"`
	DVC      string              `json:"dvc"`
	Go       string              `json:"go"`
	Platform string              `json:"platform"`
	Root     string              `json:"root,omitempty"`
	Cache    string              `json:"cache,omitempty"`
	Remotes  string              `json:"remotes,omitempty"`
	Facts    map[string][]string `json:"facts"`
	Checks   []healthValue       `json:"checks,omitempty"`
}

type healthValue struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

func (a *app) doctor(c *cobra.Command, asJSON, checks bool) error {
	a.json = asJSON
	r := doctorResult{Ctrx: Version, DVC: DVCVersion, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Facts: map[string][]string{}}
	facts := []pipeline.Fact{pipeline.Platform(), pipeline.Supported()}
	var health []pipeline.Health
	err := a.project(c.Context(), func(p *pipeline.Project) error {
		r.Root, r.Cache, r.Remotes = p.Root, p.Cache.Dir(), strings.Join(p.Config.Remotes(), ", ")
		facts = append(facts, p.Facts()...)
		if checks {
			health = p.Checkup(c.Context())
		}
		return nil
	})
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return err
	}
	for _, h := range health {
		r.Checks = append(r.Checks, healthValue(h))
	}
	if asJSON {
		for _, f := range facts {
			r.Facts[f.Name] = f.Lines
			if f.Lines == nil {
				r.Facts[f.Name] = []string{f.Value}
			}
		}
		return a.printJSON(r)
	}
	a.printf("DVC version: %s (ctrx %s)\n-------------------------\n", DVCVersion, Version)
	for _, f := range facts {
		if f.Lines == nil {
			a.printf("%s: %s\n", f.Name, f.Value)
			continue
		}
		a.printf("%s:\n\t%s\n", f.Name, strings.Join(f.Lines, "\n\t"))
	}
	if len(health) > 0 {
		a.printf("-------------------------\n")
	}
	for _, h := range health {
		word := "ok"
		if !h.OK {
			word = "look"
		}
		a.printf("%-5s %-10s %s\n", word, h.Name, h.Detail)
		if h.Hint != "" {
			a.printf("                 %s\n", h.Hint)
		}
	}
	return nil
}

func (a *app) doctorS3Command() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "s3 [REMOTE]", Short: "Try what an S3 store can do, and say what to set", Args: cobra.MaximumNArgs(1),
		Long: "Puts, looks at, reads, lists, uploads in parts and deletes one object of its own\n" +
			"on the remote (the default one without a name), and says in plain words what\n" +
			"works and what to set. Secrets are never shown.",
		RunE: func(c *cobra.Command, args []string) error {
			a.json = asJSON
			name := strings.Join(args, "")
			return a.project(c.Context(), func(p *pipeline.Project) error {
				suffix := make([]byte, 6)
				if _, err := rand.Read(suffix); err != nil {
					return err
				}
				d, err := p.DoctorS3(c.Context(), name, suffix)
				if err != nil {
					return err
				}
				if asJSON {
					return errors.Join(a.printJSON(diagnosisValue(d)), d.Err())
				}
				a.printDiagnosis(d)
				return d.Err()
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) printDiagnosis(d s3.Diagnosis) {
	at := d.Endpoint
	if at == "" {
		at = "AWS"
	} else if d.Provider != "" {
		at += " (" + d.Provider + ")"
	}
	a.printf("Remote '%s': %s at %s, region %s, the bucket in the %s\n", d.Remote, d.URL, at, d.Region, map[string]string{"path": "path", "virtual": "host name"}[d.Style])
	for _, c := range d.Checks {
		a.printf("%-7s %-12s %s\n", c.Result, c.Name, c.Detail)
	}
	if d.Err() == nil {
		a.printf("Everything that ctrx needs works.\n")
	}
	if len(d.Advice) > 0 && d.Err() == nil { // with a failure they are its hint
		a.printf("To set:\n  %s\n", strings.Join(d.Advice, "\n  "))
	}
}

// diagnosisResult is what --json prints of a store.
type diagnosisResult struct {
	Remote   string        `json:"remote"`
	URL      string        `json:"url"`
	Endpoint string        `json:"endpoint"`
	Provider string        `json:"provider"`
	Region   string        `json:"region"`
	Style    string        `json:"style"` // path or virtual
	OK       bool          `json:"ok"`
	Checks   []checkResult `json:"checks"`
	Advice   []string      `json:"advice"`
}

type checkResult struct {
	Name   string `json:"name"`
	Result string `json:"result"` // ok, failed, note or skipped
	Detail string `json:"detail"`
}

func diagnosisValue(d s3.Diagnosis) diagnosisResult {
	r := diagnosisResult{d.Remote, d.URL, d.Endpoint, d.Provider, d.Region, d.Style, d.Err() == nil, nil, append([]string{}, d.Advice...)}
	for _, c := range d.Checks {
		r.Checks = append(r.Checks, checkResult{c.Name, string(c.Result), c.Detail})
	}
	return r
}
