//! How much memory a process has, by `/proc`.

/// Kibibytes that are resident now.
pub(crate) fn resident(process: u32) -> u64 {
    status(process, "VmRSS:")
}

/// The most that was ever resident since [`forget_peak`], in kibibytes.
pub(crate) fn peak(process: u32) -> u64 {
    status(process, "VmHWM:")
}

/// Lets the peak begin anew at what is resident now.
pub(crate) fn forget_peak(process: u32) {
    std::fs::write(format!("/proc/{process}/clear_refs"), "5")
        .expect("one's own child can be measured");
}

fn status(process: u32, name: &str) -> u64 {
    let text =
        std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process lives");
    let line = text
        .lines()
        .find(|line| line.starts_with(name))
        .expect("Linux tells the memory of a process");
    let number = line
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok());
    number.expect("a line of /proc/*/status is a name, a number and a unit")
}
