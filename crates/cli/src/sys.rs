//! The allocator's settings.
#![expect(
    unsafe_code,
    reason = "the allocator's options are reached through C alone"
)]

/// `mi_option_purge_delay`, which the bindings do not name: the option before the one of NUMA nodes.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = libmimalloc_sys::mi_option_use_numa_nodes - 1;

/// Has the allocator give each freed run of pages back to the system at once.
///
/// By default it waits a while, and then for somebody to allocate. After a large configuration was applied nobody does,
/// and for days the process would be as large as it was at its busiest. Requests reuse their buffers and free no pages,
/// so it costs them nothing. To be called before the first thread is started.
pub(crate) fn return_freed_pages() {
    // SAFETY: it stores one number, which no other thread can be reading yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another version of the allocator may number its options anew.
    #[test]
    fn the_number_is_that_of_the_option_with_this_default() {
        // SAFETY: both calls touch one number of the allocator's, and no other test does.
        let [before, after] = unsafe {
            let before = libmimalloc_sys::mi_option_get(PURGE_DELAY);
            return_freed_pages();
            [before, libmimalloc_sys::mi_option_get(PURGE_DELAY)]
        };
        assert_eq!([before, after], [1_000, 0]);
    }
}
