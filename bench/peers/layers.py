"""From our table of layers and oneDNN's: how many times as fast ours are."""
import sys


def read(path):
    """GF/s by network and layer: six, float32 and bfloat16; None where a pass is left out."""
    found, network, title = {}, None, ""
    for line in open(path):
        if line.startswith("# "):
            title = line[2:].strip()
        elif line.startswith("## Convolutions of "):
            network = line[len("## Convolutions of "):].split(",")[0].strip()
        elif line.startswith("## "):
            network = None
        elif network and line.startswith("| ") and not line.startswith("| layer"):
            name, count, *rates = [cell.strip() for cell in line.strip().strip("|").split("|")]
            found[network, name, count] = [float(r.split()[0]) if r else None for r in rates[:6]]
    return found, title


def cell(our, their):
    if our is None:
        return ""
    return f"{our / their:.2f} ({our:.0f} : {their:.0f})" if their else f"none ({our:.0f} : none)"


ours, _ = read(sys.argv[1])
theirs, title = read(sys.argv[2])
network = None
for key, rates in ours.items():
    if key[0] != network:
        network = key[0]
        print(f"\n## Convolutions of {network} beside {title}: ratio (GF/s, ours : theirs)\n")
        print("| layer | x | f32 forward | data | weights | bf16 forward | data | weights |")
        print("|:--|--:|--:|--:|--:|--:|--:|--:|")
    cells = " | ".join(cell(*pair) for pair in zip(rates, theirs[key]))
    print(f"| {key[1]} | {key[2]} | {cells} |")
