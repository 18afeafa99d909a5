//! What the program promises at its seams and as a whole; one binary, so that it is linked once.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on has failed its test")]

/// The program under test: the one that was built with this test, or the one that `COSMIRROR_BIN` names.
fn program() -> std::ffi::OsString {
    std::env::var_os("COSMIRROR_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_cosmirror").into())
}

mod suite {
    mod admin_page;
    mod admin_server;
    mod command_line;
    mod configuration;
    mod documented_checks;
    mod documented_formats;
    #[cfg(feature = "emulator")]
    mod emulated;
    #[cfg(all(unix, feature = "emulator"))]
    mod end_to_end;
    #[cfg(feature = "emulator")]
    mod source_contract;
    mod store_contract;
}
