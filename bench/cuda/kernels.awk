#!/usr/bin/awk -f
# kernels.awk - the ten kernels that take most time, from what ncu --csv --page raw prints: all fields are quoted; a line
# of names, a line of units, then one a launch.
BEGIN { FS = "\",\"" }
!/^"/ { next }
{ sub(/^"/, ""); sub(/"$/, ""); $0 = $0 }
!columns {
    for (i = 1; i <= NF; i++)
        column[$i] = i
    columns = NF
    next
}
!units {
    unit = $column["gpu__time_duration.sum"]
    ms = unit ~ /^n/ ? 1e-6 : unit ~ /^u/ ? 1e-3 : unit ~ /^m/ ? 1 : 1e3
    units = 1
    next
}
NF == columns {
    name = $column["Kernel Name"]
    sub(/\(.*/, "", name)
    sub(/^void /, "", name)
    t = $column["gpu__time_duration.sum"]
    gsub(/,/, "", t)
    t *= ms
    calls[name]++
    time[name] += t
    memory[name] += t * $column["dram__throughput.avg.pct_of_peak_sustained_elapsed"]
    arithmetic[name] += t * $column["sm__throughput.avg.pct_of_peak_sustained_elapsed"]
    all += t
}
END {
    for (n = 0; n < 10; n++) {
        best = ""
        for (name in time)
            if (!(name in shown) && (best == "" || time[name] > time[best]))
                best = name
        if (best == "")
            break
        shown[best] = 1
        printf "| `%s` | %d | %.2f | %.0f %% | %.0f %% | %.0f %% |\n", best, calls[best], time[best],
            100 * time[best] / all, memory[best] / time[best], arithmetic[best] / time[best]
    }
}
