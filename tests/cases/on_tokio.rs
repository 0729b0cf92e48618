mod runtime {
    use std::time::Duration;

    pub(crate) use keepalive::tokio::{client, client_with, connect};

    pub(crate) fn run<F: Future>(future: F) -> F::Output {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap().block_on(future)
    }

    pub(crate) async fn within<F: Future>(time: Duration, future: F) -> F::Output {
        tokio::time::timeout(time, future).await.unwrap()
    }
}

#[path = "scenarios.rs"]
mod scenarios;
