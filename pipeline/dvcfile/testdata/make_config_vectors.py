"""Asks the real OmegaConf how it reads, resolves and writes YAML.

    python make_config_vectors.py SEED YAML STRINGS

YAML and STRINGS are numbers of cases: documents that are read and written, and
strings with interpolations that are resolved. Recorded are seed 1, 500 and 900:

    python make_config_vectors.py 1 500 900 > config_vectors.json

Needs omegaconf 2.3.
"""

import json
import os
import random
import sys
import warnings

import yaml
from omegaconf import OmegaConf
from omegaconf._utils import get_omega_conf_dumper, get_yaml_loader

ATOMS = [
    "yes", "No", "ON", "off", "y", "n", "true", "TRUE", "null", "~", "", "017", "0o17", "08", "0x1f", "0b11", "1_000", "1:30", "190:20:30", "1:30.5", "1e5", "1E-3",
    "1.e5", "1.5e3", "1.5e+3", ".5", ".5e3", ".5e+3", "-.inf", ".nan", "+1", "-0", "2020-01-01", "2020-1-1 1:00:00", "=", "'<<'", "'='", "1__0.5", "1__0", "_1", "0_",
    "0x_", "'yes'", "'1e5'", "'1_0'", "' 12 '", "' a'", "'a '", "'nan'", "'inf'", "'infinity'", "'-'", "'?'", "':'", "'a: b'", "'a #b'", "'#a'", '"a\\nb"', '"\\ta"',
    '"é"', '"\\u263a"', '"\\U0001F600"', '"\\U0001F600\\n "', "'it''s'", "'@a'", "'%a'", "'`'", "'[a'", "'a]'", "'{'", "'a,b'", "'---'", "'--- a'", "'...'", "'-a'",
    "'- a'", "'?a'", "':a'", "'a:'", "!!str 5", "!!int '7'", "!!float 3", "!!float '3'", "!!bool 'yes'", "!!null ''", "0.1", "100000.0", "1e16", "1e22", "1.0e-5",
    "123456789012345678901234567890", "0.00001", "-0.0", "'null'", "'~'", "'True'", "'2020-01-01'", "'12:30'", "'0o7'", "'1.'", "'.5'", "'e5'", "'\\'", "'a\\b'",
    "12:30:45", "1:3:4:5", "-1:30", "'0x1F'", '"\\0"', '"\\x85"', '"a\\u2028b"', '"a\\n\\nb"', '"\\n"', '"a \\n b"', '"a\\n"',
]
WORDS = ["alpha", "be", "gamma-delta", "x", "it's", "a:b", "c#d", "longlonglonglongword", "é", "#h", "1", "yes", ":", "  ", "-"]


class Documents:
    def __init__(self, r):
        self.r = r

    def long(self):
        s = " ".join(self.r.choice(WORDS) for _ in range(self.r.randint(5, 60)))
        kind = self.r.random()
        if kind < 0.3:
            s = s.replace("x", "\n")
        if kind < 0.1:
            s = s.replace("be", "\t")
        return json.dumps(s, ensure_ascii=self.r.random() < 0.5)

    def value(self, depth):
        kind = self.r.random()
        if depth > 3 or kind < 0.55:
            return self.r.choice(ATOMS)
        if kind < 0.68:
            return self.long()
        if kind < 0.84:
            return "[" + ", ".join(self.value(depth + 1) for _ in range(self.r.randint(0, 3))) + "]"
        return "{" + ", ".join(self.key() + ": " + self.value(depth + 1) for _ in range(self.r.randint(0, 3))) + "}"

    def key(self):
        kind = self.r.random()
        if kind < 0.1:
            long = ["'" + "k" * n + str(self.r.randint(0, 99)) + "'" for n in (120, 121, 122, 123, 125)]
            return self.r.choice(long + ["''", '"a\\nb"', "'a b'"])
        if kind < 0.25:
            return self.r.choice([a for a in ATOMS if a and not a.startswith("!!") and a != "="])
        return "k%d" % self.r.randint(0, 9)

    def cases(self, count):
        dumper = type("Dumper", (get_omega_conf_dumper(),), {"ignore_aliases": lambda self, data: True})
        while count > 0:
            text = "".join("%s: %s\n" % (self.key(), self.value(0)) for _ in range(self.r.randint(1, 4)))
            case = {"text": text}
            try:
                value = yaml.load(text, Loader=get_yaml_loader())
            except Exception as e:  # noqa: BLE001
                case["error"] = type(e).__name__
            else:
                if not isinstance(value, dict):
                    continue
                case["out"] = yaml.dump(value, default_flow_style=False, allow_unicode=True, sort_keys=False, Dumper=dumper)
            yield case
            count -= 1


BASE = "a: 1\nf: 1.5\nt: true\nn: null\ns: text\ne: ''\nl: [1, two, [3]]\nm: {x: 1, y: {z: deep}}\nk: x\nwho: WHO\n"
PIECES = [
    "${", "}", "$", "{", "[", "]", ":", ",", "'", '"', "\\", "\\\\", " ", "a", "m", "l", "x", "y", ".", "..", "oc.env", "oc.decode", "oc.create", "oc.select",
    "oc.dict.keys", "WHO", "NOPE", "1", "1.5", "true", "null", "-", "(", ")", "=", "é", "${a}", "${m.x}", "${s}", "\\${", "\\'", "\t", "/", "@", "|", "%", "1e3", "0",
    "01", "_", "nan",
]
SHAPES = [
    "${a}", "${m.${k}}", "${oc.env:WHO}", "${oc.env:NOPE,%s}", "${oc.decode:%s}", "${oc.create:%s}", "${oc.select:%s}", "${oc.select:%s,%s}", "${oc.env:${who}}", "x%sy",
    "'%s'", '"%s"', "[%s, %s]", "{q: %s}", "\\${%s}", "\\\\${a}", "%s %s", "%s:%s", "\\%s", "%s\\", "%s\\\\", "${l[%s]}", "${m.%s}", "${.%s}",
]


class Strings:
    def __init__(self, r):
        self.r = r

    def shaped(self, depth=0):
        if depth > 3 or self.r.random() < 0.25:
            return self.r.choice(PIECES)
        shape = self.r.choice(SHAPES)
        return "%s".join(shape.split("%s")) % tuple(self.shaped(depth + 1) for _ in range(shape.count("%s"))) if "%s" in shape else shape

    def text(self):
        if self.r.random() < 0.75:
            text = self.shaped()
        else:
            text = "".join(self.r.choice(PIECES) for _ in range(self.r.randint(1, 9)))
        if self.r.random() < 0.5 and "${" not in text:
            text = "${oc.decode:" + text + "}"
        if self.r.random() < 0.1:
            at = self.r.randrange(len(text) + 1)
            text = text[:at] + self.r.choice(PIECES) + text[at:]
        return text

    def cases(self, count):
        os.environ["WHO"] = "me"
        for _ in range(count):
            case = {"text": self.text()}
            try:
                config = OmegaConf.create(yaml.safe_load(BASE))
                config.self_ = case["text"]
                OmegaConf.resolve(config)
                case["out"] = OmegaConf.to_yaml(config)[len(OmegaConf.to_yaml(OmegaConf.create(yaml.safe_load(BASE)))) :]
            except BaseException as e:  # noqa: BLE001
                case["error"] = type(e).__name__
            yield case


def main():
    warnings.simplefilter("ignore")
    seed, documents, strings = (int(a) for a in sys.argv[1:])
    out = {
        "base": BASE,
        "documents": list(Documents(random.Random(seed)).cases(documents)),
        "strings": list(Strings(random.Random(seed)).cases(strings)),
    }
    json.dump(out, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
