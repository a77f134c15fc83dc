"""Attacks by formula, one process for all of them: what each said, and what the interpreter did meanwhile.

Run as a script in an empty folder; it prints JSON. An audit hook stays for the life of a process, hence a process.
"""

import json
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayes_personal as bp
from bayes_personal.cli.commands import app
from bayes_personal.model.specification import decode, encode
from bayes_personal.posterior import storage

MARK = Path("RAN")
WATCHED = ("open", "exec", "import", "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty",
           "os.posix_spawn", "os.spawn", "socket.connect", "pickle.find_class", "ctypes.dlopen")

# By kind: an expression that would make the file RAN, or reach what could.
EXPRESSIONS = {
    "call": "open('RAN', 'w')",
    "call of exec": "exec(\"open('RAN', 'w')\")",
    "call of eval": "eval('open(\"RAN\", \"w\")') and x",
    "call in an argument": "log(open('RAN', 'w') or x)",
    "call by name of an argument": "bs(x, df=open('RAN', 'w'))",
    "call in contrasts": "C(x, contr.treatment(base=open('RAN', 'w')))",
    "call of a call": "(lambda: open('RAN', 'w'))()",
    "call with a star": "log(*[open('RAN', 'w')])",
    "call with two stars": "log(x, **{'out': open('RAN', 'w')})",
    "attribute": "x.values.tofile",
    "attribute of a number": "(1).real",
    "method of a column": "x.to_csv('RAN')",
    "method of a column that calls": "x.pipe(lambda v: open('RAN', 'w'))",
    "method of a text": "'{0.__class__}'.format(x)",
    "accessor with a method": "x.str.encode('utf8')",
    "subscript": "x[open('RAN', 'w')]",
    "subscript of a list": "[open('RAN', 'w')][0]",
    "lambda": "lambda: open('RAN', 'w')",
    "comprehension of a list": "[open('RAN', 'w') for i in [1]]",
    "comprehension of a set": "{open('RAN', 'w') for i in [1]}",
    "generator": "sum(open('RAN', 'w') for i in [1])",
    "f-string": "f\"{open('RAN', 'w')}\"",
    "walrus": "(f := open('RAN', 'w'))",
    "conditional": "x if open('RAN', 'w') else x",
    "boolean": "x is None or open('RAN', 'w')",
    "dunder": "__import__('os').system('touch RAN')",
    "dunder of a column": "x.__class__.__base__.__subclasses__()",
    "dunder of a number": "(0).__class__.__base__.__subclasses__()[0]",
    "getattr": "getattr(x, 'to_csv')('RAN')",
    "backticks": "`open`('RAN', 'w')",
    "backticks of a method": "`x`.to_csv('RAN')",
    "Q of a call": "Q(open('RAN', 'w'))",
    "Q and a method": "Q('x').to_csv('RAN')",
    "look-alike letters": "\uff4f\uff50\uff45\uff4e('RAN', 'w')",
    "look-alike letters of NumPy": "\uff4e\uff50.savetxt('RAN', x)",
    "look-alike letters in a dunder": "__\uff49mport__('os')",
    "NumPy reads a file": "np.fromfile('RAN')",
    "NumPy loads a file": "np.load('RAN', allow_pickle=True)",
    "NumPy writes a file": "np.savetxt('RAN', [1])",
    "NumPy's modules": "np.f2py.os.system('touch RAN')",
    "NumPy calls back": "np.vectorize(open)('RAN')",
    "deep brackets": "(" * 5000 + "x" + ")" * 5000,
    "deep signs": "-" * 9000 + "x",
    "deep calls": "log(" * 150 + "x" + ")" * 150,
    "long sum": "+".join(["x"] * 4000),
    "power of powers": "9**9**9**9**9 * x[0]",
    "repeated text": "'a' * 10**12",
    "more columns than memory": "bs(x, df=10**9)[0]",
    "await": "await open('RAN', 'w')",
    "yield": "(yield open('RAN', 'w'))",
    "two statements": "x; open('RAN', 'w')",
    "comment": "x # \nopen('RAN', 'w')",
    "escaped quotes": "C(x, contr.treatment(base='\") or open(\"RAN\",\"w\") or (\"')) + y.a",
}
POSITIONS = ("y ~ I({0})", "y ~ {0}", "y ~ x + {{{0}}}", "I({0}) ~ x", "{0} ~ x")

# Names and texts that are code, as data that nothing may read as code.
CODE = ("open('RAN','w')", "__import__('os').system('touch RAN')", "') or open('RAN','w') or ('",
        "\") or open(\"RAN\",\"w\") or (\"", "{0.__class__}", "__class__")

# What the package itself opens: a saved file, its version, the libraries whose threads it limits, how much memory
# there is, a report in making.
EXPECTED = re.compile(r"(^(plain|evil)\.nc|^/proc/(self/(maps|statm)|meminfo)|^/sys/fs/cgroup/memory\.\w+"
                      r"|\.dist-info/METADATA|/python3\d+\.zip|/\.bayes_personal-\w+\.partial)$")

seen: list[str] = []
armed = False


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and EXPECTED.search(str(arguments[0])):
        return
    # What `ast.parse` compiles becomes a tree and is never run; it gives no name of a file.
    if armed and (event in WATCHED or event == "compile" and arguments[1] != "<unknown>"):
        seen.append(f"{event} {str(arguments)[:120]}")


def attacked(act: Callable[[], Any]) -> dict[str, Any]:
    """What came of an attack: the class of its error, and what the interpreter did."""
    global armed
    seen.clear()
    armed = True
    try:
        act()
        said = "accepted"
    except bp.errors.BayesPersonalError as error:
        said = type(error).__name__ if len(str(error)) < 3000 else f"{len(str(error))} characters"
    except BaseException as error:
        said = f"raw {type(error).__name__}: {str(error)[:200]}"
    finally:
        armed = False
    ran = MARK.exists()
    MARK.unlink(missing_ok=True)
    return {"said": said, "seen": list(seen), "ran": ran}


def tampered(model: bp.Model, formula: str) -> bp.Model:
    """A model whose formula was exchanged behind its back."""
    result = bp.Model(model.formula, model.prior)
    object.__setattr__(result, "formula", formula)
    return result


def saved(posterior: bp.Posterior, formula: str, path: Path, functions: tuple[str, ...] = ()) -> None:
    """A whole and undamaged file that says another formula."""
    evil = tampered(posterior.model, formula)
    document = encode(evil) | ({"functions": list(functions)} if functions else {})
    storage.encode, storage.decode = lambda _: document, lambda *_: posterior.model
    try:
        storage.write(posterior.model, {"": (posterior.bound, posterior.tree)}, path)
    finally:
        storage.encode, storage.decode = encode, decode


def main() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": rng.normal(size=12), "x": np.arange(12.0), "g": list("ab") * 6})
    named = frame.rename(columns={"x": CODE[1]}).assign(g=np.resize(CODE[:2], 12))
    safe = bp.fit(bp.Model("y ~ x + log(x + 1) + bs(x, df=4) + C(g)"), frame, method=bp.Laplace(), seed=1,
                  progress=False)
    of_code = bp.fit(bp.Model(f"y ~ I(`{CODE[1]}` * 2) + g"), named, method=bp.Laplace(), seed=1, progress=False)
    plain, evil = Path("plain.nc"), Path("evil.nc")
    safe.save(plain)
    # What is imported when it is first needed is imported now.
    for once in (lambda: bp.predict(bp.load(plain), frame).frame(), lambda: bp.Model("y ~ f(x)"),
                 lambda: bp.Model("y ~ nix").bind(frame), lambda: bp.load(evil),
                 lambda: bp.predict(of_code, named.assign(g="z")), lambda: command("report", str(evil))):
        attacked(once)
    sys.addaudithook(hook)
    result: dict[str, Any] = {"parse": {}, "fit": {}, "predict": {}, "load": {}, "names": {}}
    for kind, expression in EXPRESSIONS.items():
        for position in POSITIONS:
            formula = position.format(expression)
            result["parse"][f"{kind}: {position}"] = attacked(lambda formula=formula: bp.Model(formula))
        formula = POSITIONS[0].format(expression)
        model = tampered(safe.model, formula)
        result["fit"][kind] = attacked(lambda model=model: bp.fit(model, frame, progress=False))
        exchanged = bp.Posterior(model, safe.bound, safe.tree)
        result["predict"][kind] = attacked(lambda one=exchanged: bp.predict(one, frame.iloc[:2]).frame())
        saved(safe, formula, evil)
        result["load"][kind] = attacked(lambda: bp.load(evil))
    result["load"]["a file that is well"] = attacked(lambda: bp.load(plain))
    saved(safe, "y ~ open(x)", evil, ("open",))
    result["load"]["a file that names a function"] = attacked(lambda: bp.load(evil))
    saved(safe, EXPRESSIONS["dunder"], evil)
    result["load"]["report of the command line"] = attacked(lambda: command("report", str(evil), "--out", "o.html"))
    for text in CODE:
        column = frame.rename(columns={"x": text})
        result["names"][f"column {text}"] = attacked(lambda text=text, column=column: bp.Model(
            f"y ~ `{text}` + log(`{text}` + 1) + bs(`{text}`, df=4)").bind(column))
        levels = frame.assign(g=np.resize([text, "b", "c"], 12))
        result["names"][f"level {text}"] = attacked(lambda levels=levels: bp.Model(
            "y ~ g + C(g, contr.sum):x", bp.PartialPooling("g")).bind(levels))
        result["names"][f"new level {text}"] = attacked(lambda text=text: bp.predict(safe, frame.assign(g=text)))
        result["names"][f"text in a formula {text}"] = attacked(lambda levels=levels, text=text: bp.Model(
            f"y ~ I(g == {text!r}) + C(g, contr.treatment(base={text!r})) + x").bind(levels))
    return result


def command(*arguments: str) -> None:
    """The command line, whose refusal is its exit status."""
    if app(list(arguments), standalone_mode=False) == 2:
        raise bp.errors.FileError("refused")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(main()))
