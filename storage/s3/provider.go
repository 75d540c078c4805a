package s3

import (
	"net/url"
	"strings"
)

// Provider is a kind of store whose habits are known.
type Provider struct {
	Name     string
	Region   string // that its buckets are in; "" when that differs
	Endpoint string // an address to set, "" when that differs
	Notes    []string
}

// providers are recognised by what the host of endpointurl ends with, or holds.
var providers = []struct {
	suffixes []string
	words    []string
	ports    []string
	Provider
}{
	{suffixes: []string{"vkcs.cloud", "vkcloud-storage.ru", "bizmrg.com"}, Provider: Provider{"VK Cloud", "ru-msk", "https://hb.ru-msk.vkcs.cloud",
		[]string{"keys are those of a project's S3 account, from the console of Object Storage; a lifecycle rule may remove unfinished uploads"}}},
	{suffixes: []string{"yandexcloud.net"}, Provider: Provider{"Yandex Object Storage", "ru-central1", "https://storage.yandexcloud.net",
		[]string{"keys are static access keys of a service account with the role storage.editor"}}},
	{suffixes: []string{"r2.cloudflarestorage.com"}, Provider: Provider{"Cloudflare R2", "auto", "https://ACCOUNT.r2.cloudflarestorage.com",
		[]string{"keys are those of an R2 API token with Object Read & Write"}}},
	{suffixes: []string{"amazonaws.com", "amazonaws.com.cn"}, Provider: Provider{Name: "AWS"}},
	{words: []string{"minio"}, ports: []string{"9000", "9001"}, Provider: Provider{"MinIO", "us-east-1", "http://HOST:9000",
		[]string{"the API has port 9000 as a rule; 9001 is the web console"}}},
	{words: []string{"ceph", "rgw", "radosgw"}, ports: []string{"7480"}, Provider: Provider{"Ceph", "us-east-1", "http://HOST:7480",
		[]string{"the region is the zonegroup's api_name, often default or us-east-1"}}},
}

// ProviderOf recognises a store by its endpointurl; "" is AWS. A store that is
// not known has no name.
func ProviderOf(endpoint string) Provider {
	if endpoint == "" {
		return Provider{Name: "AWS"}
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return Provider{}
	}
	host := strings.ToLower(u.Hostname())
	for _, p := range providers {
		for _, s := range p.suffixes {
			if host == s || strings.HasSuffix(host, "."+s) {
				return p.Provider
			}
		}
	}
	for _, p := range providers {
		for _, w := range p.words {
			if strings.Contains(host, w) {
				return p.Provider
			}
		}
		for _, port := range p.ports {
			if u.Port() == port {
				return p.Provider
			}
		}
	}
	return Provider{}
}
