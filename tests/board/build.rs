//! Hands the board's memory map to the linker: the folder `BOARD_MEMORY` below `memory`.

fn main() {
    println!("cargo:rerun-if-env-changed=BOARD_MEMORY");
    println!("cargo:rerun-if-env-changed=BOARD_FRAMES");
    let board = std::env::var("BOARD_MEMORY").unwrap_or_else(|_| "mps2".into());
    let folder = format!("{}/memory/{board}", env!("CARGO_MANIFEST_DIR"));
    println!("cargo:rerun-if-changed={folder}");
    println!("cargo:rustc-link-search={folder}");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("riscv32") {
        println!("cargo:rustc-link-arg=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg=-Tlink.x");
}
