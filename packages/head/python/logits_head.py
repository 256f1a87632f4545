"""Reads a decision head of Logits (JSON or bytes) and decides, in plain Python. Not: cross-fitted heads, randomised sets, other sets than LAC and APS. A head with a scorer takes that scorer's logits."""
import base64, hashlib, json, math, struct

def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]

def tensor(dtype, shape, data):
    flat = list(struct.unpack("<%d%s" % (len(data) // 4, "f" if dtype == "float32" else "i"), data))
    return flat if len(shape) == 1 else [flat[i * shape[1]:(i + 1) * shape[1]] for i in range(shape[0])]

def load(source):
    """A head from its bytes (a safetensors file or JSON text)."""
    if source[:1] == b"{":
        return json.loads(source, object_hook=lambda o: tensor(o["dtype"], o["shape"], base64.b64decode(o["data"])) if "dtype" in o else o)
    size = struct.unpack("<Q", source[:8])[0]
    header, payload = json.loads(source[8:8 + size]), source[8 + size:]
    meta = header["__metadata__"]
    digest = hashlib.sha256(meta["logits"].encode())
    def hook(o):
        if "$tensor" not in o:
            return o
        begin, end = header[o["$tensor"]]["data_offsets"]
        digest.update(payload[begin:end])
        return tensor(o["dtype"], o["shape"], payload[begin:end])
    head = json.loads(meta["logits"], object_hook=hook)
    if digest.hexdigest() != meta["sha256"]:
        raise ValueError("damaged: the digest does not match")
    return head

def softmax(z, t=1.0):
    top = max(z)
    e = [math.exp((x - top) / t) for x in z]
    return [f32(x / sum(e)) if x / sum(e) >= 2.0 ** -126 else 0.0 for x in e]

def score(d, z, f):
    """The detector's score; higher = more out-of-distribution."""
    if d["format"] == "logits/logit-detector":
        t, order = d["temperature"], sorted(z)
        p = softmax(z, t)
        return {"msp": sum(sorted(p)[:-1]), "maxLogit": -order[-1], "energy": -order[-1] - t * math.log(sum(math.exp((x - order[-1]) / t) for x in z)),
                "entropy": -sum(x * math.log(x) for x in p if x > 0), "margin": order[-2] - order[-1] if len(z) > 1 else -math.inf}[d["method"]]
    if d["format"] == "logits/mahalanobis-detector":
        x = [a - m for a, m in zip(f, d["mean"])]
        w = [sum(d["whitening"][i * (i + 1) // 2 + j] * x[j] for j in range(i + 1)) for i in range(len(x))]
        return min(sum((a - b) ** 2 for a, b in zip(w, mean)) for mean in d["means"])
    if d["normalize"]:
        length = math.sqrt(sum(x * x for x in f))
        f = [x / length if length else 0.0 for x in f]
    return sorted(math.sqrt(sum((a - b) ** 2 for a, b in zip(f, row))) for row in d["bank"])[d["k"] - 1]

def decide(head, logits, features=None, alpha=None):
    """The decision for one row, as a dictionary like that of the library."""
    if head["split"] == "folds" or head["conformal"]["randomize"] or head["conformal"]["method"] not in ("lac", "aps"):
        raise NotImplementedError("cross-fitted heads, randomised sets and other sets than LAC and APS")
    probabilities, d, conformal = head["input"] == "probabilities", head.get("detector"), head["conformal"]
    if d and d["format"] != "logits/logit-detector" and not all(math.isfinite(x) for x in features):
        return {"kind": "invalid", "why": {"code": "NO_FEATURES"}}
    low, high = (0.0, 1.00001) if probabilities else (-math.inf, 1.7e308)
    if not all(low <= x <= high for x in logits) or max(logits) == -math.inf or (probabilities and abs(sum(logits) - 1) > 0.01):
        return {"kind": "invalid", "why": {"code": "NO_DISTRIBUTION"}}
    z = [math.log(max(x, 2.0 ** -126)) for x in logits] if probabilities else logits
    p, names = softmax(z, head["calibrator"]["temperature"]), head["classes"]
    ranked = sorted(range(len(p)), key=lambda c: (-p[c], c))
    if d:
        s, reference = f32(score(d, z, features)), head["pValues"]
        if s > float(head["threshold"]["value"]):
            above = sum(x >= s for x in reference["scores"]) + reference["positiveInfinities"] + (reference["negativeInfinities"] if s == -math.inf else 0)
            return {"kind": "unknown", "pValue": (1 + above) / (reference["n"] + 1), "nearest": names[ranked[0]], "why": {"code": "OUT_OF_DISTRIBUTION", "score": s}}
    k = math.ceil((conformal["n"] + 1) * (1 - (alpha or head["alpha"])) - 1e-9)
    q = conformal["scores"][k - 1] if k <= conformal["n"] else math.inf
    before = [sum(p[c] for c in ranked[:r]) for r in range(len(ranked))]
    inside = [c for r, c in enumerate(ranked) if f32(1 - p[c] if conformal["method"] == "lac" else before[r] + p[c]) <= q] or ranked[:1]
    chosen = [names[c] for c in inside]
    if len(chosen) == 1:
        return {"kind": "label", "label": chosen[0], "probability": p[inside[0]], "set": chosen}
    return {"kind": "ambiguous", "set": chosen, "probabilities": [p[c] for c in inside]}
