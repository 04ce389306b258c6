package drill

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

const module = "tieout.dev/services"

// Place is a test that injects a fault, and what it takes to run it.
type Place struct {
	By     string // package, a dot, test
	Target string // "" is 'make test'; else the build tag that it needs
}

// Source reads which tests below root, the services' folder, say that they
// inject which faults.
func Source(root string) (map[int][]Place, error) {
	out := map[int][]Place{}
	files := os.DirFS(root)
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		script := strings.HasSuffix(name, ".txtar")
		if err != nil || d.IsDir() || !script && !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(files, name)
		switch {
		case err != nil:
			return err
		case script:
			return scanScript(name, string(text), out)
		}
		return scan(name, text, out)
	})
	for n := range out {
		slices.SortFunc(out[n], func(a, b Place) int { return strings.Compare(a.By, b.By) })
		out[n] = slices.Compact(out[n])
	}
	return out, err
}

func scan(name string, text []byte, out map[int][]Place) error {
	if !strings.Contains(string(text), "drill.Injected(") {
		return nil
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ParseComments)
	if err != nil {
		return err
	}
	tag := buildTag(file)
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !isInjected(call) {
				return true
			}
			if f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") || len(call.Args) < 3 {
				err = fmt.Errorf("%s: drill.Injected is called by a test itself, with the faults' numbers", set.Position(call.Pos()))
				return false
			}
			for _, arg := range call.Args[2:] {
				number, literal := number(arg)
				if !literal {
					err = fmt.Errorf("%s: a fault's number is a literal", set.Position(arg.Pos()))
					return false
				}
				out[number] = append(out[number], Place{By: path.Dir(name) + "." + f.Name.Name, Target: tag})
			}
			return true
		})
	}
	return err
}

// scanScript reads the lines "injects COUNTER NUMBER…" of a scenario.
func scanScript(name, text string, out map[int][]Place) error {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "injects" {
			continue
		}
		for _, w := range words[2:] {
			n, err := strconv.Atoi(w)
			if err != nil {
				return fmt.Errorf("%s: %s: a fault is a number", name, strings.TrimSpace(line))
			}
			out[n] = append(out[n], Place{By: Script(name)})
		}
	}
	return nil
}

// Script is the name of a scenario as one that injects faults.
func Script(file string) string { return strings.TrimSuffix(path.Base(file), ".txtar") + ScriptSuffix }

// ScriptSuffix tells scenarios, which one test plays, from tests.
const ScriptSuffix = ".txtar"

func isInjected(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Injected" {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && pkg.Name == "drill"
}

func number(arg ast.Expr) (n int, ok bool) {
	lit, ok := arg.(*ast.BasicLit)
	if !ok || lit.Kind != token.INT {
		return 0, false
	}
	n, err := strconv.Atoi(lit.Value)
	return n, err == nil
}

// buildTag is the tag that a file asks for, "" if none.
func buildTag(file *ast.File) string {
	for _, group := range file.Comments {
		for _, c := range group.List {
			if tag, ok := strings.CutPrefix(c.Text, "//go:build "); ok && c.Pos() < file.Package {
				return tag
			}
		}
	}
	return ""
}
