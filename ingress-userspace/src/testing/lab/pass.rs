//! An XDP program that passes every packet, as a monitoring tool's would.
//!
//! It is attached by its pin and not by a link, so it stays until its device goes. The object file
//! is written here by hand, so that no other compiler is needed.

use aya::Ebpf;
use aya::programs::Xdp;

use super::Host;

/// The name of the program.
pub const PASS_PROGRAM: &str = "monitor";

/// `r0 = XDP_PASS; exit`.
const PASS: [u8; 16] = [0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

// === impl Host ===

impl Host {
    /// Attaches the program to a device, in the driver's mode.
    pub fn attach_pass_program(&self, device: &str) {
        let pin = format!("/sys/fs/bpf/{PASS_PROGRAM}");
        self.run(|| {
            let mut object = Ebpf::load(&object()).unwrap();
            let program: &mut Xdp = object.program_mut(PASS_PROGRAM).unwrap().try_into().unwrap();
            program.load().unwrap();
            program.pin(&pin).unwrap();
        });
        self.output("ip", &["link", "set", "dev", device, "xdpdrv", "pinned", &pin]);
    }
}

/// A relocatable ELF file with the program in section `xdp` and a symbol for it.
fn object() -> Vec<u8> {
    const HEADER: u64 = 64;
    let names = format!("\0xdp\0.symtab\0.strtab\0{PASS_PROGRAM}\0").into_bytes();
    let symbol_name = u32::try_from(names.len() - PASS_PROGRAM.len() - 1).unwrap();
    let mut symbols = vec![0_u8; 24];
    symbols.extend(symbol_name.to_le_bytes());
    // Global function in section 1.
    symbols.extend([0x12, 0, 1, 0]);
    symbols.extend(0_u64.to_le_bytes());
    symbols.extend((PASS.len() as u64).to_le_bytes());

    let program_at = HEADER;
    let symbols_at = program_at + PASS.len() as u64;
    let names_at = symbols_at + symbols.len() as u64;
    let sections_at = (names_at + names.len() as u64).next_multiple_of(8);

    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // Relocatable, for BPF, version 1.
    file.extend([1, 0, 247, 0, 1, 0, 0, 0]);
    file.extend([0; 16]);
    file.extend(sections_at.to_le_bytes());
    file.extend([0; 4]);
    // Sizes of the headers; four section headers, the last is that of the names.
    for half in [HEADER as u16, 0, 0, 64, 4, 3] {
        file.extend(half.to_le_bytes());
    }
    file.extend(PASS);
    file.extend(&symbols);
    file.extend(&names);
    file.resize(usize::try_from(sections_at).unwrap(), 0);
    let (executable, allocated) = (4, 2);
    file.extend([0; 64]);
    file.extend(section(1, 1, executable | allocated, program_at, PASS.len(), [0, 0], 8, 0));
    file.extend(section(5, 2, 0, symbols_at, symbols.len(), [3, 1], 8, 24));
    file.extend(section(13, 3, 0, names_at, names.len(), [0, 0], 1, 0));
    file
}

#[expect(clippy::too_many_arguments, reason = "the fields of a section header")]
fn section(
    name: u32,
    kind: u32,
    flags: u64,
    offset: u64,
    size: usize,
    [link, info]: [u32; 2],
    align: u64,
    entry: u64,
) -> Vec<u8> {
    let mut header = Vec::with_capacity(64);
    header.extend(name.to_le_bytes());
    header.extend(kind.to_le_bytes());
    for field in [flags, 0, offset, size as u64] {
        header.extend(field.to_le_bytes());
    }
    header.extend(link.to_le_bytes());
    header.extend(info.to_le_bytes());
    header.extend(align.to_le_bytes());
    header.extend(entry.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::lab::Lab;
    use crate::testing::{require_root, require_tool};

    #[test]
    fn the_pass_program_attaches_natively() {
        if !require_root() || !require_tool("ethtool") {
            return;
        }
        let mut lab = Lab::new();
        let (one, other) = (lab.host("one"), lab.host("other"));
        lab.link((&one, "eth0"), (&other, "eth0"));
        one.attach_pass_program("eth0");
        let shown = one.ip(&["-d", "link", "show", "dev", "eth0"]);
        assert!(shown.contains(PASS_PROGRAM) && !shown.contains("xdpgeneric"), "{shown}");
    }
}
