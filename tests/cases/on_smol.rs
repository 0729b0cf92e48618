mod runtime {
    use std::time::Duration;

    pub(crate) use keepalive::smol::{client, client_with, connect};
    use smol::future::FutureExt;

    pub(crate) fn run<F: Future>(future: F) -> F::Output {
        smol::block_on(future)
    }

    pub(crate) async fn within<F: Future>(time: Duration, future: F) -> F::Output {
        let late = async {
            smol::Timer::after(time).await;
            panic!("it takes longer than {time:?}")
        };
        future.or(late).await
    }
}

#[path = "scenarios.rs"]
mod scenarios;
