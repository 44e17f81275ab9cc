"""Fine-tune a text classifier with Hugging Face transformers.

    python train.py                                                   a tiny network, made-up reviews, no download
    python train.py --model distilbert/distilbert-base-uncased --data reviews.csv --rate 5e-5

--model is a name of the Hugging Face hub or a folder; --data a CSV file with the columns `text` and `label`.
Under torchrun each process takes a GPU. Writes the model and its tokenizer to out/model, checkpoints to out/checkpoints and out/metrics.json. A run that
is started again goes on from the newest checkpoint.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import sys
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertTokenizerFast,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint

TINY = "tiny"
GOOD_ENOUGH = 0.8  # test accuracy below this is a failed training, with the made-up reviews
LIKED = ("good", "great", "fine", "lovely", "bright", "fast")
DISLIKED = ("bad", "poor", "dull", "slow", "broken", "noisy")
THINGS = ("film", "book", "phone", "chair", "song", "meal")
FRAMES = ("the {0} is {1}", "what a {1} {0}", "i found this {0} {1}", "a {1} {0} again", "never had a {0} so {1}")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def made_up(count: int) -> list[tuple[str, str]]:
    """Reviews and whether they are positive or negative."""
    rng = random.Random(0)
    found = []
    for _ in range(count):
        label = rng.choice(("negative", "positive"))
        word = rng.choice(LIKED if label == "positive" else DISLIKED)
        found.append((rng.choice(FRAMES).format(rng.choice(THINGS), word), label))
    return found


def read_csv(path: Path) -> list[tuple[str, str]]:
    """Texts and labels of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


class Texts(Dataset):
    """Texts as token numbers, with the number of their label."""

    def __init__(self, rows, names: list[str], tokenizer, longest: int) -> None:
        self.encoded = tokenizer([text for text, _ in rows], truncation=True, max_length=longest)
        self.labels = [names.index(label) for _, label in rows]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: int) -> dict:
        return {key: self.encoded[key][at] for key in ("input_ids", "attention_mask")} | {"labels": self.labels[at]}


def make_tiny(folder: Path, texts) -> None:
    """A small BERT that knows nothing yet, with the words of `texts`, as a folder like those of the hub."""
    folder.mkdir(parents=True, exist_ok=True)
    words = sorted({word for text in texts for word in text.lower().split()})
    (folder / "vocab.txt").write_text("\n".join((*SPECIAL, *words)) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(folder)


def accuracy(predicted) -> dict[str, float]:
    """Share of the texts that get the right label."""
    return {"accuracy": float((predicted.predictions.argmax(-1) == predicted.label_ids).mean())}


def new_trainer(asked: argparse.Namespace, rows, names: list[str]) -> Trainer:
    """Model, data (the last fifth is only tested on) and settings."""
    settings = TrainingArguments(
        output_dir=str(asked.out / "checkpoints"),
        num_train_epochs=asked.epochs,
        learning_rate=asked.rate,
        per_device_train_batch_size=asked.batch,
        per_device_eval_batch_size=asked.batch,
        bf16=torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0),
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        logging_steps=20,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        ddp_backend="nccl" if torch.cuda.is_available() else "gloo",
        seed=0,
    )
    if asked.model == TINY:
        with settings.main_process_first():
            if settings.process_index == 0:
                make_tiny(asked.out / "start", [text for text, _ in rows])
        asked.model = str(asked.out / "start")
    tokenizer = AutoTokenizer.from_pretrained(asked.model)
    labels = {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {n: i for i, n in enumerate(names)},
    }
    model = AutoModelForSequenceClassification.from_pretrained(asked.model, **labels)
    cut = len(rows) * 4 // 5
    return Trainer(
        model=model,
        args=settings,
        train_dataset=Texts(rows[:cut], names, tokenizer, asked.longest),
        eval_dataset=Texts(rows[cut:], names, tokenizer, asked.longest),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=accuracy,
    )


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Fine-tune a text classifier.")
    parser.add_argument("--model", default=TINY, help="name or folder; tiny: made here (default)")
    parser.add_argument("--data", type=Path, help="CSV file with text and label; made-up reviews by default")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--batch", type=int, default=16, help="texts per GPU and step")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate; about 5e-5 for a pretrained model")
    parser.add_argument("--longest", type=int, default=128, help="tokens of a text")
    parser.add_argument("--out", type=Path, default=Path("out"))
    return parser.parse_args()


def main() -> None:
    """Fine-tune, test, write the results. Ends with 1 and a sentence when the training failed."""
    asked = options()
    rows = read_csv(asked.data) if asked.data else made_up(600)
    names = sorted({label for _, label in rows})
    torch.manual_seed(0)
    trainer = new_trainer(asked, rows, names)
    checkpoints = asked.out / "checkpoints"
    newest = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    if trainer.is_world_process_zero():
        processes = f"{trainer.args.world_size} x {trainer.args.device.type}"
        print(f"{len(rows)} texts, labels {', '.join(names)}, on {processes}", flush=True)
    trainer.train(resume_from_checkpoint=newest)
    right = trainer.evaluate()["eval_accuracy"]
    trainer.save_model(str(asked.out / "model"))
    if trainer.is_world_process_zero():
        found = {"test_accuracy": right, "device": str(trainer.args.device), "processes": trainer.args.world_size}
        found["run"] = os.environ.get("GPUCLOUD_RUN")
        (asked.out / "metrics.json").write_text(json.dumps(found, indent=2) + "\n")
        print(f"test accuracy {right:.1%}", flush=True)
    if asked.data is None and right < GOOD_ENOUGH:
        sys.exit(f"That is below {GOOD_ENOUGH:.0%}: the training failed.")


if __name__ == "__main__":
    main()
