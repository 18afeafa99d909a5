// Renders the templates of a chart as Helm does: with Go's own text/template, the functions of sprig, and the handful that Helm adds.
//
// usage: render CHART RELEASE NAMESPACE KUBERNETES VALUES…
//
// Prints every manifest in the order of the templates' names, NOTES.txt last. What is not Helm: no hooks, no subcharts, no `lookup`, no
// reading of files, and the schema of the values is checked elsewhere.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type values = map[string]interface{}

func main() {
	if len(os.Args) < 5 {
		fmt.Fprintln(os.Stderr, "usage: render CHART RELEASE NAMESPACE KUBERNETES VALUES…")
		os.Exit(2)
	}
	if err := render(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func render(chart, release, namespace, kubernetes string, files []string) error {
	about, err := read(filepath.Join(chart, "Chart.yaml"))
	if err != nil {
		return err
	}
	all, err := read(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		given, err := read(file)
		if err != nil {
			return err
		}
		merge(all, given)
	}
	// Helm gives the chart's fields names of Go.
	data := values{
		"Values": all,
		"Chart": values{
			"Name": about["name"], "Version": about["version"], "AppVersion": about["appVersion"],
		},
		"Capabilities": values{"KubeVersion": values{"Version": "v" + kubernetes}},
		"Release":      values{"Name": release, "Namespace": namespace, "Service": "Helm", "IsInstall": true, "Revision": 1},
	}
	return execute(filepath.Join(chart, "templates"), data)
}

func execute(folder string, data values) error {
	names, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		return err
	}
	sort.Strings(names)
	root := template.New("chart").Option("missingkey=zero")
	root.Funcs(functions(root))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := root.New(filepath.Base(name)).Parse(string(text)); err != nil {
			return err
		}
	}
	for _, notes := range []bool{false, true} {
		for _, name := range names {
			base := filepath.Base(name)
			if strings.HasPrefix(base, "_") || (base == "NOTES.txt") != notes {
				continue
			}
			var out bytes.Buffer
			if err := root.ExecuteTemplate(&out, base, data); err != nil {
				return err
			}
			text := strings.TrimSpace(strings.ReplaceAll(out.String(), "<no value>", ""))
			if text != "" {
				fmt.Printf("---\n# Source: %s\n%s\n", base, text)
			}
		}
	}
	return nil
}

func functions(root *template.Template) template.FuncMap {
	all := sprig.TxtFuncMap()
	// Helm has none of these: a template must not depend on the machine.
	delete(all, "env")
	delete(all, "expandenv")
	all["include"] = func(name string, data interface{}) (string, error) {
		var out bytes.Buffer
		err := root.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	all["toYaml"] = func(value interface{}) (string, error) {
		out, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(out), "\n"), err
	}
	all["required"] = func(message string, value interface{}) (interface{}, error) {
		if text, ok := value.(string); value == nil || (ok && text == "") {
			return nil, errors.New(message)
		}
		return value, nil
	}
	return all
}

func read(name string) (values, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	read := values{}
	if err := yaml.UnmarshalStrict(text, &read); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return read, nil
}

// Given values win; null removes a default.
func merge(defaults, given values) {
	for name, value := range given {
		inner, isMap := value.(values)
		beneath, wasMap := defaults[name].(values)
		switch {
		case value == nil:
			delete(defaults, name)
		case isMap && wasMap:
			merge(beneath, inner)
		default:
			defaults[name] = value
		}
	}
}
