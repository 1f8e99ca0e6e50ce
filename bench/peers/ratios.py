"""From lines of work, who and rate: a table of the best rate of each, and ours over the best of theirs."""
import sys

best = {}
for line in sys.stdin:
    work, who, rate = line.rstrip("\n").split("\t")
    rates = best.setdefault(work, {})
    rates[who] = max(rates.get(who, 0), float(rate))

print("| work | ours | theirs | rate, ours | rate, theirs | ratio |\n|:--|:--|:--|--:|--:|--:|")
for work, rates in best.items():
    theirs = {who: rate for who, rate in rates.items() if not who.startswith("ours")}
    if not theirs:
        continue
    most = max(theirs, key=theirs.get)
    for who, rate in rates.items():
        if who in theirs:
            continue
        # float32 meets float32, anything else the best there is
        other = max((o for o in theirs if "f32" in o), key=theirs.get) if who == "ours f32" else most
        print(f"| {work} | {who} | {other} | {rate:.1f} | {theirs[other]:.1f} | {rate / theirs[other]:.2f} |")
