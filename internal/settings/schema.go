package settings

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// kind is what the text of an option must look like.
type kind int

const (
	text       kind = iota
	boolean         // true or false, in any case
	integer         //
	positive        // an integer from 1 on
	percent         // an integer from 0 to 100
	number          //
	duration        // a number from 0 on, in seconds
	links           // link types, as a list or joined by commas
	boolOrText      // DVC takes true and false for themselves, all else for a path
	unreadable      // DVC's own schema wants a type that no file can hold
)

// rule is the kind of an option, or the words it may be.
type rule struct {
	kind    kind
	choices []string
}

type keys map[string]rule

func oneOf(words ...string) rule { return rule{choices: words} }

func of(k kind, names ...string) keys {
	m := keys{}
	for _, n := range names {
		m[n] = rule{kind: k}
	}
	return m
}

func join(all ...keys) keys {
	m := keys{}
	for _, k := range all {
		for name, r := range k {
			m[name] = r
		}
	}
	return m
}

func remoteCommon() keys {
	return join(of(text, "url"), of(positive, "jobs", "checksum_jobs"), of(boolean, "worktree", "version_aware", "no_traverse", "verify"))
}

func localCommon() keys {
	return join(keys{"type": {kind: links}, "shared": oneOf("group")}, of(boolean, "protected", "slow_link_warning", "verify"))
}

// sectionKeys gives the keys of a plain section; open means that other keys
// are let through.
func sectionKeys(section string) (k keys, open, known bool) {
	switch section {
	case "core":
		return join(of(text, "remote", "site_cache_dir", "machine"), of(positive, "checksum_jobs"),
			of(boolean, "interactive", "analytics", "hardlink_lock", "no_scm", "autostage", "experiments", "check_update")), false, true
	case "cache":
		return join(localCommon(), of(text, "dir", "local", "s3", "gs", "hdfs", "webhdfs", "ssh", "azure")), false, true
	case "state":
		return join(of(text, "dir"), of(positive, "row_limit"), of(percent, "row_cleanup_quota")), false, true
	case "index":
		return of(text, "dir"), false, true
	case "feature":
		return of(boolean, "machine"), true, true
	case "plots":
		return join(of(text, "html_template", "out_dir"), of(boolean, "auto_open")), false, true
	case "exp":
		return join(of(text, "code", "data", "models", "metrics", "params", "plots", "live", "git_remote"), of(boolean, "auto_push")), false, true
	case "parsing":
		return keys{"bool": oneOf("store_true", "boolean_optional"), "list": oneOf("nargs", "append")}, false, true
	case "hydra":
		return join(of(boolean, "enabled"), of(text, "config_dir", "config_module", "config_name", "plugins_path")), false, true
	case "studio":
		return join(of(text, "token", "url", "repo_url"), of(boolean, "offline")), false, true
	case "db":
		return of(text, "url", "username", "password"), false, true
	case "machine":
		return join(of(text, "image", "instance_type", "instance_gpu", "ssh_private", "startup_script", "setup_script"), of(boolean, "spot"),
			of(number, "spot_price"), of(integer, "instance_hdd_size"),
			keys{"cloud": oneOf("aws", "azure"), "region": oneOf("us-west", "us-east", "eu-west", "eu-north")}), false, true
	}
	return nil, false, false
}

// sectionNames lists the plain sections, in the order in which DVC lists them.
func sectionNames() []string {
	return []string{"core", "cache", "state", "index", "feature", "plots", "exp", "parsing", "hydra", "studio"}
}

// namedSections are those that are written as `kind "name"`.
func namedSections() []string { return []string{"remote", "machine", "db"} }

// remoteKeys gives the keys of a remote by the scheme of its URL, "" for a
// folder; open means that all keys are let through.
func remoteKeys(scheme string) (k keys, open, known bool) {
	http := join(of(text, "custom_auth_header", "user", "password", "method"), of(boolean, "ask_password"), of(boolOrText, "ssl_verify"),
		of(duration, "connect_timeout", "read_timeout"), keys{"auth": oneOf("basic", "digest", "custom")})
	webdav := join(of(text, "user", "password", "token", "bearer_token_command", "custom_auth_header", "cert_path", "key_path"),
		of(boolean, "ask_password"), of(integer, "timeout"), of(boolOrText, "ssl_verify"))
	var own keys
	switch scheme {
	case "":
		own = localCommon()
	case "s3":
		own = join(of(text, "region", "profile", "credentialpath", "configpath", "endpointurl", "access_key_id", "secret_access_key", "session_token",
			"sse", "sse_kms_key_id", "sse_customer_algorithm", "sse_customer_key", "acl", "grant_read", "grant_read_acp", "grant_write_acp", "grant_full_control"),
			of(boolean, "listobjects", "use_ssl", "allow_anonymous_login"), of(boolOrText, "ssl_verify"),
			of(integer, "read_timeout", "connect_timeout"), of(unreadable, "cache_regions"))
	case "gs":
		own = join(of(text, "projectname", "credentialpath", "endpointurl"), of(boolean, "allow_anonymous_login"))
	case "ssh":
		own = join(of(text, "user", "password", "passphrase", "keyfile"), of(boolean, "ask_password", "ask_passphrase", "gss_auth", "allow_agent"),
			of(integer, "port", "timeout", "max_sessions"), keys{"type": {kind: links}})
	case "hdfs":
		own = join(of(text, "user", "kerb_ticket"), of(unreadable, "replication"))
	case "webhdfs":
		own = join(of(text, "kerberos_principal", "proxy_to", "token", "user", "password", "data_proxy_target"), of(boolean, "kerberos", "use_https"), of(boolOrText, "ssl_verify"))
	case "azure":
		own = join(of(text, "connection_string", "sas_token", "account_name", "account_key", "tenant_id", "client_id", "client_secret"),
			of(boolean, "allow_anonymous_login", "exclude_environment_credential", "exclude_visual_studio_code_credential",
				"exclude_shared_token_cache_credential", "exclude_managed_identity_credential"),
			of(integer, "timeout", "read_timeout", "connection_timeout"))
	case "oss":
		own = of(text, "oss_key_id", "oss_key_secret", "oss_endpoint")
	case "gdrive":
		own = join(of(text, "profile", "gdrive_client_id", "gdrive_client_secret", "gdrive_user_credentials_file", "gdrive_service_account_user_email",
			"gdrive_service_account_json_file_path"), of(boolean, "gdrive_use_service_account", "gdrive_trash_only", "gdrive_acknowledge_abuse"))
	case "http", "https":
		own = http
	case "webdav", "webdavs":
		own = webdav
	case "remote":
		return nil, true, true
	default:
		return nil, false, false
	}
	k = join(remoteCommon(), own)
	if scheme == "hdfs" {
		delete(k, "verify") // the one scheme without it
	}
	return k, false, true
}

// obsolete tells whether DVC takes the key but does nothing with it, so that
// it is not suggested in place of a misspelt one.
func obsolete(section, key string) bool {
	old := map[string][]string{
		"core": {"experiments"}, "cache": {"protected", "local", "s3", "gs", "hdfs", "webhdfs", "ssh", "azure"},
		"remote": {"no_traverse", "listobjects", "protected"}, "exp": {"code", "data", "models", "metrics", "params", "plots", "live"},
	}
	return slices.Contains(old[section], key)
}

// urlScheme gives the scheme that decides on a remote's keys: "" where the URL
// has no host or bucket, as for a folder.
func urlScheme(url string) string {
	m := regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*)://[^/?#]`).FindStringSubmatch(url)
	if m == nil {
		return ""
	}
	return strings.ToLower(m[1])
}

// check gives "" or what is wrong with the value.
func (r rule) check(v value) string {
	if v.many && r.kind != links {
		return "is a list; put a value with commas in quotes"
	}
	if len(r.choices) > 0 {
		if !slices.Contains(r.choices, strings.ToLower(v.text)) {
			return "must be " + strings.Join(r.choices, " or ") + ", not " + strconv.Quote(v.text)
		}
		return ""
	}
	switch r.kind {
	case boolean:
		if _, ok := parseBool(v.text); !ok {
			return "must be true or false, not " + strconv.Quote(v.text)
		}
	case integer:
		return intBetween(v.text, math.MinInt, math.MaxInt, "a whole number")
	case positive:
		return intBetween(v.text, 1, math.MaxInt, "a whole number from 1 on")
	case percent:
		return intBetween(v.text, 0, 100, "a whole number from 0 to 100")
	case number, duration:
		f, err := strconv.ParseFloat(strings.TrimSpace(v.text), 64)
		if err != nil || r.kind == duration && !(f >= 0) {
			return "must be a number, not " + strconv.Quote(v.text)
		}
	case links:
		for _, l := range v.items() {
			if !slices.Contains([]string{"reflink", "hardlink", "symlink", "copy"}, l) {
				return "must be made of reflink, hardlink, symlink and copy, not " + strconv.Quote(l)
			}
		}
	case unreadable:
		return "is an option that DVC refuses to read from a file"
	}
	return ""
}

func intBetween(s string, from, to int, what string) string {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < from || n > to {
		return "must be " + what + ", not " + strconv.Quote(s)
	}
	return ""
}

func parseBool(s string) (b, ok bool) {
	switch strings.ToLower(s) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// items gives the value as a list: a string is split at commas.
func (v value) items() []string {
	if v.many {
		return v.list
	}
	var items []string
	for _, s := range strings.Split(v.text, ",") {
		items = append(items, strings.TrimSpace(s))
	}
	return items
}

// nearest gives the name closest to a misspelt one, or "" when none is close.
func nearest(name string, names []string) string {
	best, distance := "", 1+max(1, len(name)/3)
	for _, n := range slices.Sorted(slices.Values(names)) {
		if d := editDistance(name, n); d < distance {
			best, distance = n, d
		}
	}
	return best
}

func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
