"""Whatever goes wrong where credentials come from is one kind of error, which botocore lets pass as it is."""

from collections.abc import Callable
from typing import Any


def guard_credentials(core: Any) -> None:
    """Have the chain of a botocore session fail with botocore's errors alone, now and at every refresh.

    What stands in ~/.aws/config is followed there: a program that is not installed, a token's file that is gone, an
    answer that is no JSON, a role that is refused. What that raises comes out as CredentialRetrievalError, with its
    cause; so do keys that no signature can be made with.
    """
    find = core.get_credentials

    def get_credentials() -> Any:
        credentials = _attempt(find)
        if credentials is not None and "get_frozen_credentials" not in vars(credentials):
            freeze = credentials.get_frozen_credentials
            credentials.get_frozen_credentials = lambda: _attempt(lambda: _check(freeze()))
        return credentials

    core.get_credentials = get_credentials


def _attempt(step: Callable[[], Any]) -> Any:
    from botocore.exceptions import CredentialRetrievalError, PartialCredentialsError  # noqa: PLC0415  # boto3 only once needed

    try:
        return step()
    except (CredentialRetrievalError, PartialCredentialsError):
        raise
    except Exception as error:
        raise CredentialRetrievalError(provider="chain", error_msg=type(error).__name__) from error


def _check(frozen: Any) -> Any:
    """Raise TypeError or UnicodeEncodeError for what a signature would stumble over."""
    "".join((frozen.access_key, frozen.secret_key, frozen.token or "")).encode()
    return frozen
