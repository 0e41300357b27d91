//! Which program a TC filter runs, by rtnetlink: whoever may may delete or replace it.

use std::io;

use anyhow::{Context as _, Result, bail};
use aya::programs::TcAttachType;
use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{
    TcAttribute, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
};

/// `ETH_P_ALL` of linux/if_ether.h: our filters are for packets of every protocol.
const EVERY_PROTOCOL: u16 = 3;

/// `TC_H_MAJ(TC_H_CLSACT)`, and `TC_H_MIN_INGRESS` and `TC_H_MIN_EGRESS`, of linux/pkt_sched.h.
const CLSACT: u16 = 0xffff;
const INGRESS: u16 = 0xfff2;
const EGRESS: u16 = 0xfff3;

/// The longest answer in bytes. One about a bpf filter has about 200.
const ANSWER: usize = 32 * 1024;

/// The place of a filter in the clsact qdisc of an interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct FilterPlace {
    pub(super) ifindex: u32,
    pub(super) direction: TcAttachType,
    pub(super) priority: u16,
    pub(super) handle: u16,
}

impl FilterPlace {
    /// Why the filter there does not run this program, in words, if it does not.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(super) fn gone(&self, program: u32) -> Result<Option<String>> {
        let found = self.program().context("asking rtnetlink for a filter")?;
        Ok(match found {
            Some(found) if found == program => None,
            Some(found) => Some(format!("replaced by program {found}")),
            None => Some("detached".to_owned()),
        })
    }

    /// The ID of the program that the filter there runs; `None` when there is no such filter.
    fn program(&self) -> Result<Option<u32>> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        // Port 0 is the kernel; nobody else can send to a socket that is connected to it.
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.send(&self.question()?, 0)?;
        let mut answer = vec![0; ANSWER];
        let length = loop {
            match socket.recv(&mut answer.as_mut_slice(), libc::MSG_TRUNC) {
                Ok(length) => break length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        };
        let answer = answer.get(..length);
        read(answer.with_context(|| format!("an answer of {length} bytes"))?)
    }

    fn question(&self) -> Result<Vec<u8>> {
        let mut filter = TcMessage::default();
        filter.header.index = i32::try_from(self.ifindex)?;
        filter.header.handle = TcHandle {
            major: 0,
            minor: self.handle,
        };
        let minor = match self.direction {
            TcAttachType::Ingress | TcAttachType::Custom(_) => INGRESS,
            TcAttachType::Egress => EGRESS,
        };
        filter.header.parent = TcHandle {
            major: CLSACT,
            minor,
        };
        filter.header.info = u32::from(self.priority) << 16 | u32::from(EVERY_PROTOCOL.to_be());
        let kind = TcAttribute::Kind(TcFilterBpf::KIND.to_owned());
        filter.attributes.push(kind);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        let filter = RouteNetlinkMessage::GetTrafficFilter(filter);
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(filter));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        Ok(bytes)
    }
}

/// The ID of the program in the kernel's answer.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "nothing else answers a question about a filter"
)]
fn read(answer: &[u8]) -> Result<Option<u32>> {
    match NetlinkMessage::deserialize(answer)?.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewTrafficFilter(filter)) => {
            let options = filter.attributes.into_iter().filter_map(|attribute| {
                if let TcAttribute::Options(options) = attribute {
                    Some(options)
                } else {
                    None
                }
            });
            let id = options.flatten().find_map(|option| {
                if let TcOption::Bpf(TcFilterBpfOption::ProgId(id)) = option {
                    Some(id)
                } else {
                    None
                }
            });
            id.map(Some).context("a filter without a program")
        }
        // No such filter, or none of our kind, or no clsact qdisc, or no interface.
        NetlinkPayload::Error(error) => match error.to_io().raw_os_error() {
            Some(libc::ENOENT | libc::EINVAL | libc::ENODEV) => Ok(None),
            _ => Err(error.to_io().into()),
        },
        _ => bail!("not an answer about a filter"),
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::ErrorMessage;
    use proptest::prelude::*;

    use super::*;

    fn serialized(payload: NetlinkPayload<RouteNetlinkMessage>) -> Vec<u8> {
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), payload);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn refusal(error: i32) -> Vec<u8> {
        let mut message = ErrorMessage::default();
        message.code = std::num::NonZeroI32::new(-error);
        serialized(NetlinkPayload::Error(message))
    }

    #[test]
    fn an_answer_names_the_program_and_a_refusal_says_that_there_is_none() {
        let mut filter = TcMessage::default();
        filter.attributes = vec![
            TcAttribute::Kind(TcFilterBpf::KIND.to_owned()),
            TcAttribute::Options(vec![
                TcOption::Bpf(TcFilterBpfOption::ProgName("ph_eth_ingress".to_owned())),
                TcOption::Bpf(TcFilterBpfOption::ProgId(26165)),
            ]),
        ];
        let answer = serialized(RouteNetlinkMessage::NewTrafficFilter(filter).into());
        assert_eq!(read(&answer).unwrap(), Some(26165));
        for error in [libc::ENOENT, libc::EINVAL, libc::ENODEV] {
            assert_eq!(read(&refusal(error)).unwrap(), None);
        }
        assert!(read(&refusal(libc::EPERM)).is_err());
    }

    /// Loopback has no filter of this handle.
    #[test]
    fn the_kernel_says_when_there_is_no_filter() {
        for direction in [TcAttachType::Ingress, TcAttachType::Egress] {
            let nowhere = FilterPlace {
                ifindex: 1,
                direction,
                priority: 1,
                handle: 0x7069,
            };
            assert_eq!(nowhere.gone(7).unwrap().unwrap(), "detached");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _outcome = read(&bytes);
        }
    }
}
