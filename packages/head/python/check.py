"""Runs logits_head.py on the conformance vectors: python3 check.py ../conformance/*.json"""
import base64, json, sys
from logits_head import decide, load

BOUND = 1e-5  # float64 here, float32 there


def close(a, b):
    return abs(a - b) <= BOUND * max(1.0, abs(b))


checked = 0
for path in sys.argv[1:]:
    vector = json.load(open(path))
    for head in (load(json.dumps(vector["head"]).encode()), load(base64.b64decode(vector["bytes"]))):
        for row, want in zip(vector["rows"], vector["decisions"]):
            got = decide(head, [float(x) for x in row["logits"]], [float(x) for x in row["features"]] if "features" in row else None)
            same = got["kind"] == want["kind"] and all(got.get(key) == want.get(key) for key in ("label", "set", "nearest")) and got.get("why", {}).get("code") == want.get("why", {}).get("code")
            numbers = [(got[key], want[key]) for key in ("probability", "pValue") if key in want] + list(zip(got.get("probabilities", []), want.get("probabilities", [])))
            if got["kind"] == "unknown":
                numbers.append((got["why"]["score"], want["why"]["score"]))
            if not same or not all(close(a, b) for a, b in numbers):
                sys.exit("%s: expected %s for %s, got %s" % (path, want, row, got))
            checked += 1
print(checked)
