package arch

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// maxLines is the longest a function may be.
const maxLines = 80

func imports(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range f.Imports {
		s, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func eachLine(t *testing.T, p pkg, do func(file string, n int, line string)) {
	t.Helper()
	for _, name := range p.GoFiles {
		f, err := os.Open(filepath.Join(p.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		s := bufio.NewScanner(f)
		for n := 1; s.Scan(); n++ {
			do(name, n, s.Text())
		}
		f.Close()
	}
}

// figures are printed beside the gate, as a direction.
type figures struct{ functions, files, comments, lines []int }

func TestSizeAndNames(t *testing.T) {
	var fig figures
	for _, p := range packages(t) {
		fig.files = append(fig.files, len(p.GoFiles))
		for _, name := range p.GoFiles {
			checkFile(t, p, filepath.Join(p.Dir, name), &fig)
		}
	}
	for name, list := range map[string][]int{"lines a function": fig.functions, "files a package": fig.files, "lines a file": fig.lines} {
		slices.Sort(list)
		t.Logf("%-18s p50 %d, p90 %d, max %d", name, list[len(list)/2], list[len(list)*9/10], list[len(list)-1])
	}
	t.Logf("comment lines: %d of %d", sum(fig.comments), sum(fig.lines))
}

func checkFile(t *testing.T, p pkg, path string, fig *figures) {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	if ast.IsGenerated(f) {
		return
	}
	fig.lines = append(fig.lines, set.Position(f.End()).Line)
	for _, c := range f.Comments {
		fig.comments = append(fig.comments, set.Position(c.End()).Line-set.Position(c.Pos()).Line+1)
	}
	for _, d := range f.Decls {
		at := set.Position(d.Pos())
		where := p.name() + "/" + filepath.Base(path) + ":" + strconv.Itoa(at.Line)
		switch d := d.(type) {
		case *ast.FuncDecl:
			n := set.Position(d.End()).Line - at.Line + 1
			fig.functions = append(fig.functions, n)
			if n > maxLines {
				t.Errorf("%s: %s has %d lines, more than %d", where, d.Name.Name, n, maxLines)
			}
			if d.Name.Name == "init" && d.Recv == nil {
				t.Errorf("%s: init runs before anybody asked", where)
			}
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) && f.Name.Name != "main" {
				t.Errorf("%s: %s is exported and not documented", where, d.Name.Name)
			}
		case *ast.GenDecl:
			checkDecl(t, where, d)
		}
	}
}

// checkDecl: exported types are documented; package variables are errors,
// tables, or compiled once.
func checkDecl(t *testing.T, where string, d *ast.GenDecl) {
	t.Helper()
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
				t.Errorf("%s: type %s is exported and not documented", where, s.Name.Name)
			}
		case *ast.ValueSpec:
			if d.Tok == token.VAR && !constant(s) {
				t.Errorf("%s: %s is a package variable; pass it in", where, s.Names[0].Name)
			}
			if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				t.Errorf("%s: %s is exported and not documented", where, s.Names[0].Name)
			}
		}
	}
}

// constant: made once from literals or compiled expressions, or filled in by
// the compiler (embed.FS), or the blank name of a check.
func constant(s *ast.ValueSpec) bool {
	if s.Names[0].Name == "_" {
		return true
	}
	if len(s.Values) == 0 {
		sel, ok := s.Type.(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "FS" || isBytes(s.Type)
	}
	switch v := s.Values[0].(type) {
	case *ast.CompositeLit, *ast.BasicLit, *ast.UnaryExpr:
		return true
	case *ast.CallExpr:
		return true // errors.New, regexp.MustCompile and kin: no state that moves
	case *ast.FuncLit:
		return false
	default:
		_ = v
	}
	return false
}

func isBytes(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.ArrayType:
		id, ok := x.Elt.(*ast.Ident)
		return ok && id.Name == "byte"
	case *ast.Ident:
		return x.Name == "string"
	}
	return false
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	e := d.Recv.List[0].Type
	if s, ok := e.(*ast.StarExpr); ok {
		e = s.X
	}
	if x, ok := e.(*ast.IndexExpr); ok {
		e = x.X
	}
	id, ok := e.(*ast.Ident)
	return ok && id.IsExported()
}

func sum(list []int) int {
	n := 0
	for _, x := range list {
		n += x
	}
	return n
}

// Words that the field does not use, or that mean nothing.
func TestNoPackageIsADrawer(t *testing.T) {
	for _, p := range packages(t) {
		last := p.name()[strings.LastIndexByte(p.name(), '/')+1:]
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "base", "manager", "misc", "types", "models", "shared"}, last) {
			t.Errorf("%s is a drawer: name the noun", p.name())
		}
	}
}
