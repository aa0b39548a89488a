"""Sends requests to a hub by the reference client, huggingface_hub, with HF_ENDPOINT and HF_TOKEN from the environment.

Prints the results as JSON. Arguments: the model, a pull request number, a directory for downloads.
"""

import json
import sys

from huggingface_hub import HfApi, __version__, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

model, number, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
api = HfApi()


def fails(kind, work):
    try:
        work()
    except kind as error:
        return type(error).__name__
    return "no error"


def details(number):
    found = api.get_discussion_details(model, number)
    return {
        "num": found.num,
        "title": found.title,
        "status": found.status,
        "author": found.author,
        "is_pull_request": found.is_pull_request,
        "target_branch": found.target_branch,
        "reference": found.git_reference,
        "url": found.url,
        "description": found.events[0].content,
        "created_at": found.created_at.isoformat(),
    }


seen = {"version": __version__, "user": api.whoami()["name"]}
api.auth_check(model)
seen["before"] = [[one.num, one.title, one.status, one.author] for one in api.get_repo_discussions(model)]
seen["published"] = details(number)
info = api.model_info(model)
seen["model"] = {"id": info.id, "sha": info.sha, "gated": info.gated, "files": [file.rfilename for file in info.siblings]}
seen["at_request"] = api.model_info(model, revision=f"refs/pr/{number}").sha
refs = api.list_repo_refs(model, include_pull_requests=True)
seen["branches"] = [[ref.name, ref.ref, ref.target_commit] for ref in refs.branches]
seen["pull_requests"] = [[ref.ref, ref.target_commit] for ref in refs.pull_requests]
seen["commits"] = [
    [commit.commit_id, commit.title] for commit in api.list_repo_commits(model, revision=f"refs/pr/{number}")
]
made = api.create_pull_request(model, "By the reference client", description="its description")
seen["made"] = {"num": made.num, "status": made.status, "title": made.title, "reference": made.git_reference}
seen["comment"] = api.comment_discussion(model, made.num, "a comment").content
seen["opened"] = api.change_discussion_status(model, made.num, "open").new_status
seen["after_open"] = details(made.num)
seen["closed"] = api.change_discussion_status(model, made.num, "closed").new_status
seen["open"] = [
    one.num for one in api.get_repo_discussions(model, discussion_type="pull_request", discussion_status="open")
]
seen["mine"] = [one.num for one in api.get_repo_discussions(model, author=seen["user"])]
seen["discussion"] = api.create_discussion(model, "A question").is_pull_request
seen["file"] = hf_hub_download(model, "model.safetensors", revision=f"refs/pr/{number}", local_dir=directory)
seen["small"] = hf_hub_download(model, "config.json", local_dir=directory)
seen["no_model"] = fails(RepositoryNotFoundError, lambda: api.model_info("acme/none"))
seen["no_revision"] = fails(RevisionNotFoundError, lambda: api.model_info(model, revision="none"))
seen["no_discussion"] = fails(HfHubHTTPError, lambda: api.get_discussion_details(model, 999))
seen["short_title"] = fails(HfHubHTTPError, lambda: api.create_pull_request(model, "x"))
json.dump(seen, sys.stdout)
