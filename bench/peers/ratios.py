"""From lines of work, who and rate: ours, the best of theirs, and the ratio. A mode without a rate (expect() in modes.py)
makes that a bound."""
import sys

best = {}
for line in sys.stdin:
    work, who, rate = line.rstrip("\n").split("\t")
    rates = best.setdefault(work, {})
    try:
        rates[who] = max(rates.get(who, 0), float(rate))
    except ValueError:
        rates.setdefault(who, 0)


def shown(rate):
    return f"{rate:.1f}" if rate else "none"


print("| work | ours | theirs: the best of | rate, ours | rate, theirs | ratio |\n|:--|:--|:--|--:|--:|--:|")
for work, rates in best.items():
    theirs = {who: rate for who, rate in rates.items() if not who.startswith("ours")}
    for who, rate in rates.items():
        if who in theirs:
            continue
        # float32 meets float32, anything else the best there is
        others = {o: r for o, r in theirs.items() if who != "ours f32" or "bf16" not in o}
        other = max(others, key=others.get, default=None)
        names = ", ".join(o if o == other else f"({o} {shown(r)})" for o, r in others.items()) or "none"
        most = others.get(other, 0)
        ratio = f"{rate / most:.2f}" if rate and most else "none"
        if most and not all(others.values()):
            ratio = "at most " + ratio
        print(f"| {work} | {who} | {names} | {shown(rate)} | {shown(most)} | {ratio} |")
